import { expectClose, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { CapacityTopKRouter, NONE } from "../../../src/moe/index.ts";
import { RandomKey } from "../../../src/tensor/index.ts";
import { rowsOf, softmax, times } from "../layer-reference.ts";
import { checkContract, checkRouterLayer, falling, loadsOf, routed, softmaxOf } from "./router-checks.ts";

const device = await testDevice();

const [N, H, E, K] = [22, 5, 6, 3];
const x = uniformArray(N * H, 1);
const weight = uniformArray(E * H, 2, -2, 2);
const POLICIES = ["probs", "position"] as const;
const options = { hiddenSize: H, numExperts: E, topK: K, evalCapacityFactor: 0.6, minCapacity: 1 };

/** The experts of each token that find room for it. */
function kept(scores: readonly number[][], policy: (typeof POLICIES)[number], capacity: number): number[][] {
  const choices = scores.map((row) => falling(row).slice(0, K));
  const probs = scores.map((row) => softmax(row));
  return choices.map((experts, n) =>
    experts.filter((e) => {
      const rivals = choices.flatMap((own, m) => (own.includes(e) ? [m] : []));
      const ahead = (m: number) => (policy === "position" ? m < n : (probs[m]?.[e] ?? 0) > (probs[n]?.[e] ?? 0));
      return rivals.filter(ahead).length < capacity;
    }),
  );
}

describe("CapacityTopKRouter", () => {
  test("keeps the contract of routers", async () => {
    await checkContract((sizes) => new CapacityTopKRouter(device, { ...sizes, minCapacity: 0 }), new RandomKey(5));
  });

  test.each(POLICIES)("by %s: who finds room, and weights that sum to 1 over the kept", async (dropPolicy) => {
    const router = new CapacityTopKRouter(device, { ...options, dropPolicy });
    router.load(new Map([["weight", Float32Array.from(weight)]]));
    const { plan, weights } = await routed(router, x); // C = ceil(22 / 6 · 0.6 · 3) = 7
    const scores = rowsOf(x, H).map((token) => times(weight, 0, E, token));
    const choices = scores.map((row) => falling(row).slice(0, K));
    const keeps = kept(scores, dropPolicy, 7);
    const found = choices.map((experts, n) => experts.filter((_, k) => plan.assignmentSlot[n * K + k] !== NONE));
    expect(found).toEqual(keeps);
    expect(Math.max(...loadsOf(plan))).toBe(7);
    const expected = choices.flatMap((experts, n) => {
      const gates = softmaxOf(scores[n] ?? [], experts).map((gate, k) =>
        keeps[n]?.includes(experts[k] ?? -1) ? gate : 0,
      );
      const total = gates.reduce((a, b) => a + b, 0);
      return gates.map((gate) => (total > 0 ? gate / total : 0));
    });
    expectClose("weights", weights, expected, 4e-6);
  });

  test.each(POLICIES)("by %s: a layer has the gradients of float64", async (dropPolicy) => {
    const { chosen } = await checkRouterLayer({
      router: new CapacityTopKRouter(device, { ...options, dropPolicy }),
      numTokens: N,
      reference: {
        scores: (tokens, weights) => tokens.map((token) => times(weights.get("weight") ?? [], 0, E, token)),
        choose: (rows) => kept(rows, dropPolicy, 7),
        weigh: (row, experts) => {
          const gates = softmaxOf(row, experts);
          const total = gates.reduce((a, b) => a + b, 0);
          return gates.map((gate) => gate / total);
        },
      },
    });
    expect(chosen.flat().length).toBeLessThan(N * K);
  });
});
