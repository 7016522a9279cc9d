import { testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { CosineTopKRouter, SigmoidTopKRouter } from "../../../src/moe/index.ts";
import { RandomKey } from "../../../src/tensor/index.ts";
import { rowsOf, softmax, times } from "../layer-reference.ts";
import { checkContract, checkRouterLayer, falling, routed, type Weights } from "./router-checks.ts";

const device = await testDevice();

const [N, H, E, K] = [13, 5, 4, 2];
const sizes = { hiddenSize: H, numExperts: E, topK: K };
const sigmoid = (v: number) => 1 / (1 + Math.exp(-v));
const choose = (rows: readonly number[][]) => rows.map((row) => falling(row).slice(0, K));

/** The chosen scores, over their sum if asked. */
const weighBy =
  (score: (row: readonly number[]) => number[], normalizeTopK: boolean) =>
  (row: readonly number[], experts: readonly number[]) => {
    const scores = score(row);
    const chosen = experts.map((e) => scores[e] as number);
    const total = normalizeTopK ? chosen.reduce((a, b) => a + b, 0) : 1;
    return chosen.map((value) => value / total);
  };

describe("SigmoidTopKRouter", () => {
  test("keeps the contract of routers", async () => {
    await checkContract((sizes) => new SigmoidTopKRouter(device, sizes), new RandomKey(5));
  });

  test.each([false, true])(
    "a layer has the values and gradients of float64, normalizeTopK %s",
    async (normalizeTopK) => {
      await checkRouterLayer({
        router: new SigmoidTopKRouter(device, { ...sizes, normalizeTopK }),
        numTokens: N,
        reference: {
          scores: (tokens, weights) => tokens.map((token) => times(weights.get("weight") ?? [], 0, E, token)),
          choose,
          weigh: weighBy((row) => row.map(sigmoid), normalizeTopK),
        },
      });
    },
  );
});

describe("CosineTopKRouter", () => {
  const unit = (v: readonly number[]) => {
    const norm = Math.sqrt(v.reduce((sum, value) => sum + value * value, 1e-8));
    return v.map((value) => value / norm);
  };
  const logits = (D: number) => (tokens: readonly number[][], weights: Weights) => {
    const experts = rowsOf(weights.get("weight") ?? [], D).map(unit);
    const temperature = Math.max(0.01, weights.get("temperature")?.[0] ?? 0);
    return tokens.map((token) => {
      const projected = unit(times(weights.get("projection") ?? [], 0, D, token));
      return experts.map((e) => e.reduce((sum, value, i) => sum + value * (projected[i] as number), 0) / temperature);
    });
  };

  test("keeps the contract of routers", async () => {
    for (const scoring of ["softmax", "sigmoid"] as const)
      await checkContract((sizes) => new CosineTopKRouter(device, { ...sizes, scoring }), new RandomKey(5));
  });

  test.each([
    ["softmax", false],
    ["softmax", true],
    ["sigmoid", false],
    ["sigmoid", true],
  ] as const)(
    "a layer has the values and gradients of float64: %s, normalizeTopK %s",
    async (scoring, normalizeTopK) => {
      await checkRouterLayer({
        router: new CosineTopKRouter(device, { ...sizes, routingSize: 3, scoring, normalizeTopK }),
        numTokens: N,
        seed: 3, // with a temperature above 0
        reference: {
          scores: logits(3),
          choose,
          weigh: weighBy(scoring === "softmax" ? softmax : (row) => row.map(sigmoid), normalizeTopK),
        },
      });
    },
  );

  test("logits are bound by 1 / τ, whatever the lengths are", async () => {
    using router = new CosineTopKRouter(device, { ...sizes, temperature: 0.5 }).initialize(new RandomKey(1));
    const far = await routed(router, uniformArray(N * H, 1, -1e6, 1e6));
    expect(far.logits.every((value) => Math.abs(value) <= 2 + 1e-5)).toBe(true);
    const near = await routed(router, new Float64Array(N * H));
    expect([...near.logits]).toEqual(new Array(N * E).fill(0));
  });
});
