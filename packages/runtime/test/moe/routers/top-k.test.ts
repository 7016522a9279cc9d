import { expectClose, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { TopKRouter, type TopKRouterOptions } from "../../../src/moe/index.ts";
import { scope, tensor } from "../../../src/tensor/index.ts";
import { rowsOf, softmax, times } from "../layer-reference.ts";
import { readPlan, referencePlan } from "../plan-reference.ts";

const device = await testDevice();

const [N, H, E, K] = [31, 5, 6, 3];
const x = uniformArray(N * H, 1);
const weight = uniformArray(E * H, 2, -2, 2);

async function route(options: Partial<TopKRouterOptions>, mask?: number[]) {
  using router = new TopKRouter(device, { hiddenSize: H, numExperts: E, topK: K, ...options });
  router.load(new Map([["weight", Float32Array.from(weight)]]));
  const { plan, weights, probs } = scope(() => {
    const routing = router.route(tensor(device, Float32Array.from(x), [N, H]), undefined, {
      mask: mask && tensor(device, mask),
    });
    return { plan: readPlan(routing.plan), weights: routing.weights.read(), probs: routing.probs.read() };
  });
  return { plan: await plan, weights: await weights, probs: await probs };
}

const expectedProbs = rowsOf(x, H).map((token) => softmax(times(weight, 0, E, token)));
const best = expectedProbs.map((probs) =>
  [...probs.keys()].sort((a, b) => (probs[b] as number) - (probs[a] as number)).slice(0, K),
);

describe("TopKRouter", () => {
  test("chooses the largest probabilities and weighs by them", async () => {
    const { plan, weights, probs } = await route({});
    expectClose("probs", probs, expectedProbs.flat(), 1e-6);
    expect(plan).toEqual(referencePlan({ numTokens: N, topK: K, numExperts: E, experts: best.flat() }));
    expectClose(
      "weights",
      weights,
      best.flatMap((ids, n) => ids.map((e) => expectedProbs[n]?.[e] ?? 0)),
      1e-6,
    );
  });

  test("weights of a token sum to 1 when they are renormalised", async () => {
    const { weights } = await route({ normalizeTopK: true });
    for (const row of rowsOf(weights, K)) expect(row.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 6);
  });

  test.each(["token", "choice"] as const)(
    "serves in order of %s up to C = ceil(0.7 · 31 · 3 / 6) = 11 rows",
    async (priority) => {
      const mask = Array.from({ length: N }, (_, n) => (n % 5 === 4 ? 0 : 1));
      const { plan } = await route({ capacityFactor: 0.7, priority }, mask);
      const expected = { numTokens: N, topK: K, numExperts: E, experts: best.flat(), capacity: 11, priority, mask };
      expect(plan).toEqual(referencePlan(expected));
      expect(plan.status[1]).toBeGreaterThan(0);
    },
  );
});
