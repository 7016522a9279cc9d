import { testDevice } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { GroupLimitedRouter, type GroupLimitedRouterOptions } from "../../../src/moe/index.ts";
import { RandomKey } from "../../../src/tensor/index.ts";
import { softmax, times } from "../layer-reference.ts";
import { checkContract, checkRouterLayer, falling } from "./router-checks.ts";

const device = await testDevice();

const [N, H, E, K] = [11, 5, 8, 3];
const sizes = { hiddenSize: H, numExperts: E, topK: K };
const scoresOf = (logits: readonly number[], scoring: "softmax" | "sigmoid" | undefined) =>
  scoring === "sigmoid" ? logits.map((l) => 1 / (1 + Math.exp(-l))) : softmax(logits);

/** The experts of one token by the published rule, written out. */
function chosen(
  scores: readonly number[],
  { numGroups = 1, topKGroups = numGroups, groupScore }: Partial<GroupLimitedRouterOptions>,
) {
  const size = E / numGroups;
  const best = Array.from({ length: numGroups }, (_, g) => {
    const sorted = scores.slice(g * size, (g + 1) * size).sort((a, b) => b - a);
    return groupScore === "top-2-sum" ? (sorted[0] as number) + (sorted[1] as number) : (sorted[0] as number);
  });
  const kept = new Set(falling(best).slice(0, topKGroups));
  return falling(scores.map((score, e) => (kept.has(Math.floor(e / size)) ? score : 0))).slice(0, K);
}

describe("GroupLimitedRouter", () => {
  test("keeps the contract of routers", async () => {
    await checkContract((sizes) => new GroupLimitedRouter(device, sizes), new RandomKey(5));
  });

  test.each<Partial<GroupLimitedRouterOptions>>([
    {},
    { normalizeTopK: true, routedScalingFactor: 2.5 },
    { numGroups: 4, topKGroups: 2 },
    { scoring: "sigmoid", numGroups: 4, topKGroups: 2, groupScore: "top-2-sum", normalizeTopK: true },
    { scoring: "sigmoid", correctionBias: true, numGroups: 2, topKGroups: 1, groupScore: "top-2-sum" },
  ])("a layer has the values and gradients of float64, %o", async (options) => {
    let bias: number[] = [];
    await checkRouterLayer({
      router: new GroupLimitedRouter(device, { ...sizes, ...options }),
      numTokens: N,
      spread: 1,
      reference: {
        // What experts are chosen by: the bias takes part here, and not in the weights below.
        scores: (tokens, weights) => {
          bias = [...(weights.get("e_score_correction_bias") ?? [])];
          return tokens.map((token) => times(weights.get("weight") ?? [], 0, E, token));
        },
        choose: (rows) =>
          rows.map((row) =>
            chosen(
              scoresOf(row, options.scoring).map((s, e) => s + (bias[e] ?? 0)),
              options,
            ),
          ),
        weigh: (row, experts) => {
          const scores = scoresOf(row, options.scoring);
          const picked = experts.map((e) => scores[e] as number);
          const total = options.normalizeTopK ? picked.reduce((a, b) => a + b, 0) : 1;
          return picked.map((score) => (score / total) * (options.routedScalingFactor ?? 1));
        },
      },
    });
  });

  test("updateBias raises the bias of experts with little load and lowers the others'", async () => {
    using router = new GroupLimitedRouter(device, { ...sizes, correctionBias: true }).initialize(new RandomKey(1));
    await router.updateBias([4, 0, 2, 2, 2, 2, 2, 2], 0.5);
    await router.updateBias([4, 0, 2, 2, 2, 2, 4, 0], 0.25);
    expect([...((await router.correctionBias?.read()) ?? [])]).toEqual([-0.75, 0.75, 0, 0, 0, 0, -0.25, 0.25]);
    expect(router.correctionBias?.trainable).toBe(false);
    await expect(router.updateBias([1])).rejects.toThrow("loads of 1 experts, expected 8");
    using plain = new GroupLimitedRouter(device, sizes);
    await expect(plain.updateBias([1])).rejects.toThrow("needs correctionBias");
  });

  test.each([
    [{ numGroups: 3 }, "3 of 3 groups of 8 experts"],
    [{ numGroups: 4, topKGroups: 1 }, "1 of 4 groups of 8 experts for topK 3"],
  ])("%o is an error", (options, message) => {
    expect(() => new GroupLimitedRouter(device, { ...sizes, ...options })).toThrow(message);
  });
});
