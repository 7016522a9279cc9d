import { expectClose, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { NoisyTopKRouter } from "../../../src/moe/index.ts";
import { normal } from "../../../src/nn/index.ts";
import { RandomKey, tensor } from "../../../src/tensor/index.ts";
import { rowsOf, softmax, times } from "../layer-reference.ts";
import { checkContract, checkRouterLayer, falling, routed, type Weights } from "./router-checks.ts";

const device = await testDevice();

const [N, H, E, K] = [17, 5, 4, 2];
const sizes = { hiddenSize: H, numExperts: E, topK: K };
const drawn = uniformArray(N * E, 8, -2, 2);
const noise = tensor(device, Float32Array.from(drawn), [N, E]);

const softplus = (v: number) => Math.log1p(Math.exp(v));
const noisy = (tokens: readonly number[][], weights: Weights) =>
  tokens.map((token, n) => {
    const deviation = times(weights.get("noise_weight") ?? [], 0, E, token).map((v) => softplus(v) + 0.01);
    return times(weights.get("weight") ?? [], 0, E, token).map(
      (v, e) => v + Math.fround(drawn[n * E + e] as number) * (deviation[e] as number),
    );
  });
const weigh = (row: readonly number[], experts: readonly number[]) => softmax(experts.map((e) => row[e] as number));

describe("NoisyTopKRouter", () => {
  test("keeps the contract of routers", async () => {
    await checkContract((sizes) => new NoisyTopKRouter(device, { ...sizes, initializer: normal(1) }), new RandomKey(5));
  });

  test("both matrices are zero at the start: noise alone spreads the load", async () => {
    using router = new NoisyTopKRouter(device, sizes).initialize(new RandomKey(1));
    const x = uniformArray(200 * H, 1);
    const { plan } = await routed(router, x, { training: true, key: new RandomKey(2) });
    const counts = Array.from({ length: E }, (_, e) => plan.assignmentExpert.filter((own) => own === e).length);
    expect(Math.min(...counts)).toBeGreaterThan(70); // 100 each on average
    const calm = await routed(router, x);
    expect(new Set(calm.plan.assignmentExpert)).toEqual(new Set([0, 1])); // ties go to the lower expert
  });

  test("chooses the largest noisy logits, and weighs by the softmax over them", async () => {
    using router = new NoisyTopKRouter(device, sizes);
    const values = new Map(["weight", "noise_weight"].map((name, i) => [name, uniformArray(E * H, i + 2, -2, 2)]));
    router.load(new Map([...values].map(([name, value]) => [name, Float32Array.from(value)])));
    const x = uniformArray(N * H, 1);
    const { plan, weights, logits } = await routed(router, x, { noise } as object);
    const expected = noisy(rowsOf(x, H), values);
    const best = expected.map((row) => falling(row).slice(0, K));
    expect(plan.assignmentExpert).toEqual(best.flat());
    expectClose(
      "weights",
      weights,
      best.flatMap((experts, n) => weigh(expected[n] ?? [], experts)),
      4e-6,
    );
    const clean = rowsOf(x, H).flatMap((token) => times(values.get("weight") ?? [], 0, E, token));
    expectClose("logits", logits, clean, 2e-6);
  });

  test("a layer has the gradients of float64, of the noise's deviation too", async () => {
    await checkRouterLayer({
      router: new NoisyTopKRouter(device, sizes),
      numTokens: N,
      context: { noise } as object,
      reference: { scores: noisy, choose: (rows) => rows.map((row) => falling(row).slice(0, K)), weigh },
    });
  });
});
