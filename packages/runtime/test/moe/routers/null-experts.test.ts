import { testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import {
  balanceLoss,
  MoeLayer,
  NullExpertsRouter,
  nullBalanceLoss,
  routingStatistics,
  SwigluExperts,
} from "../../../src/moe/index.ts";
import { RandomKey, scope, tensor } from "../../../src/tensor/index.ts";
import { softmax, times } from "../layer-reference.ts";
import { checkContract, checkRouterLayer, falling } from "./router-checks.ts";

const device = await testDevice();

const [N, H, E] = [13, 5, 4];
const rows = (seed: number) => tensor(device, Float32Array.from(uniformArray(N * H, seed)), [N, H]);

describe("NullExpertsRouter", () => {
  test("keeps the contract of routers where there are no null experts", async () => {
    await checkContract(
      ({ topK, ...sizes }) => new NullExpertsRouter(device, { ...sizes, numNullExperts: 0, numChoices: topK }),
      new RandomKey(5),
    );
  });

  test.each([
    [3, 4],
    [2, 6],
    [0, 2],
  ])("a layer with %i null experts and %i choices has the values and gradients of float64", async (m, k) => {
    await checkRouterLayer({
      router: new NullExpertsRouter(device, { hiddenSize: H, numExperts: E, numNullExperts: m, numChoices: k }),
      numTokens: N,
      reference: {
        scores: (tokens, weights) =>
          tokens.map((token) => [
            ...times(weights.get("gate.weight") ?? [], 0, E, token),
            ...(m > 0 ? times(weights.get("gate2.weight") ?? [], 0, m, token) : []),
          ]),
        choose: (scores) =>
          scores.map((row) =>
            falling(row)
              .slice(0, k)
              .filter((e) => e < E),
          ),
        weigh: (row, experts) => softmax(experts.map((e) => row[e] as number)),
      },
    });
  });

  test("a token that chooses null experts alone gets exactly 0, and nothing counts as dropped", async () => {
    const router = new NullExpertsRouter(device, { hiddenSize: H, numExperts: E, numNullExperts: 2, numChoices: 2 });
    using layer = new MoeLayer(device, {
      router,
      experts: new SwigluExperts(device, { hiddenSize: H, numExperts: E, intermediateSize: 3 }),
    }).initialize(new RandomKey(1));
    // Of a positive input the null gate makes the largest logits.
    router.gate.write(new Float32Array(E * H).fill(-1));
    router.nullGate?.write(new Float32Array(2 * H).fill(1));
    const x = tensor(device, Float32Array.from(uniformArray(N * H, 2), Math.abs), [N, H]);
    const { y, statistics } = scope(() => {
      const { y, routing } = layer.forward(x);
      return { y: y.read(), statistics: routingStatistics([routing]) };
    });
    expect([...(await y)]).toEqual(new Array(N * H).fill(0));
    const [{ tokensPerExpert, dropRate } = { tokensPerExpert: [], dropRate: 1 }] = await statistics;
    expect(tokensPerExpert).toEqual([0, 0, 0, 0, N, N]);
    expect(dropRate).toBe(0);
  });

  test("the balance loss looks at the null experts' total load", async () => {
    const sizes = { hiddenSize: H, numExperts: E, numNullExperts: 3, numChoices: 4 };
    using router = new NullExpertsRouter(device, sizes).initialize(new RandomKey(2));
    const { loss, probs, experts } = scope(() => {
      const routing = router.route(rows(3));
      const { plan, probs } = routing;
      return { loss: nullBalanceLoss(routing, E).item(), probs: probs.read(), experts: plan.assignmentExpert.read() };
    });
    const load = new Array<number>(E + 3).fill(0);
    for (const e of await experts) load[e] = (load[e] ?? 0) + 1 / N;
    const nulls = load.slice(E).reduce((a, b) => a + b, 0) / 3;
    const values = await probs;
    const expected = load.reduce((sum, f, e) => {
      const p = values.reduce((total, value, i) => total + (i % (E + 3) === e ? value / N : 0), 0);
      return sum + (E + 3) * (e < E ? f : nulls) * p;
    }, 0);
    expect(await loss).toBeCloseTo(expected, 5);
  });

  test("without null experts it is the plain balance loss", async () => {
    const sizes = { hiddenSize: H, numExperts: E, numNullExperts: 0, numChoices: 2 };
    using router = new NullExpertsRouter(device, sizes).initialize(new RandomKey(2));
    const reads = scope(() => {
      const routing = router.route(rows(3));
      return [nullBalanceLoss(routing, E).item(), balanceLoss([routing]).item()];
    });
    const [ours, plain] = await Promise.all(reads);
    expect(ours).toBeCloseTo(plain as number, 5);
  });

  test.each([
    [{ numNullExperts: -1, numChoices: 1 }, "numNullExperts is -1"],
    [{ numNullExperts: 2, numChoices: 7 }, "numChoices is 7, expected 1 to 6"],
  ])("%o is an error", (options, message) => {
    expect(() => new NullExpertsRouter(device, { hiddenSize: H, numExperts: E, ...options })).toThrow(message);
  });
});
