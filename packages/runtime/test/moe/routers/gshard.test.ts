import { expectClose, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { balanceLoss, GShardRouter, type GShardRouterOptions, NONE } from "../../../src/moe/index.ts";
import { RandomKey, scope, tensor } from "../../../src/tensor/index.ts";
import { rowsOf, softmax, times } from "../layer-reference.ts";
import { referencePlan } from "../plan-reference.ts";
import {
  checkContract,
  checkRouterLayer,
  falling,
  loadsOf,
  type RouterReference,
  routed,
  softmaxOf,
} from "./router-checks.ts";

const device = await testDevice();

const [N, H, E] = [29, 5, 4];
const x = uniformArray(N * H, 1);
const weight = uniformArray(E * H, 2, -2, 2);

const make = (options: Partial<GShardRouterOptions> = {}) =>
  new GShardRouter(device, { hiddenSize: H, numExperts: E, ...options });

function loaded(options: Partial<GShardRouterOptions>) {
  const router = make(options);
  router.load(new Map([["weight", Float32Array.from(weight)]]));
  return router;
}

const probsOf = rowsOf(x, H).map((token) => softmax(times(weight, 0, E, token)));
const bestTwo = probsOf.map((probs) => falling(probs).slice(0, 2));

/** Experts that find room: all first choices in token order, then all second ones. */
function kept(choices: readonly number[][], capacity: number): number[][] {
  const load = new Array<number>(E).fill(0);
  const keeps = choices.map((): number[] => []);
  for (const k of [0, 1])
    for (const [n, experts] of choices.entries()) {
      const e = experts[k];
      if (e === undefined || (load[e] as number) >= capacity) continue;
      load[e] = (load[e] as number) + 1;
      keeps[n]?.push(e);
    }
  return keeps;
}

const scores: RouterReference["scores"] = (tokens, weights) =>
  tokens.map((token) => times(weights.get("weight") ?? [], 0, E, token));

describe("GShardRouter", () => {
  test("keeps the contract of routers", async () => {
    for (const secondExpert of ["argmax", "gumbel", "random"] as const)
      await checkContract(
        ({ topK: _, ...sizes }) => new GShardRouter(device, { ...sizes, secondExpert, groupSize: 1 }),
        new RandomKey(5),
      );
  });

  test("serves all first choices before second ones, up to C = ceil(29 / 4 · 0.75 · 2) = 11 rows", async () => {
    const { plan } = await routed(loaded({ evalCapacityFactor: 0.75 }), x);
    const experts = bestTwo.flat();
    const expected = { numTokens: N, topK: 2, numExperts: E, experts, capacity: 11, priority: "choice" } as const;
    expect(plan).toEqual(referencePlan(expected));
    expect(plan.status[1]).toBeGreaterThan(0);
  });

  test("capacity counts training and evaluation apart, and at least minCapacity", async () => {
    const options = { capacityFactor: 0.25, evalCapacityFactor: 0.5 };
    const rows = async (more: Partial<GShardRouterOptions>, training: boolean) =>
      Math.max(...loadsOf((await routed(loaded({ ...options, ...more }), x, { training })).plan));
    expect(await rows({}, true)).toBe(4); // ceil(29 / 4 · 0.5) = 4
    expect(await rows({}, false)).toBe(8); // ceil(29 / 4) = 8
    expect(await rows({ minCapacity: 6 }, true)).toBe(6);
    expect(await rows({ dropTokens: false }, true)).toBeGreaterThan(8);
  });

  test.each(["before", "after"] as const)("weights divided %s dropping", async (normalize) => {
    const { weights, plan } = await routed(loaded({ normalize, evalCapacityFactor: 0.25, minCapacity: 3 }), x);
    const keeps = kept(bestTwo, 4);
    const expected = bestTwo.flatMap((experts, n) => {
      const gates = experts.map((e) => probsOf[n]?.[e] ?? 0);
      const room = experts.map((e) => (keeps[n]?.includes(e) ? 1 : 0));
      const counted = gates.map((gate, k) => gate * (normalize === "before" ? 1 : (room[k] ?? 0)));
      const total = counted.reduce((a, b) => a + b, 0);
      return gates.map((gate, k) => (room[k] ? gate / total : 0));
    });
    expectClose("weights", weights, expected, 2e-6);
    expect(plan.assignmentSlot.filter((slot) => slot === NONE).length).toBeGreaterThan(N / 2);
  });

  test.each(["before", "after"] as const)(
    "a layer with weights divided %s dropping has the gradients of float64",
    async (normalize) => {
      const { chosen } = await checkRouterLayer({
        router: make({ normalize, evalCapacityFactor: 0.5, minCapacity: 1 }), // C = ceil(13 / 4) = 4
        numTokens: 13,
        reference: {
          scores,
          choose: (rows) =>
            kept(
              rows.map((row) => falling(row).slice(0, 2)),
              4,
            ),
          weigh: (row, experts) => {
            const counted = softmaxOf(row, normalize === "before" ? falling(row).slice(0, 2) : experts);
            const total = counted.reduce((a, b) => a + b, 0);
            return softmaxOf(row, experts).map((gate) => gate / total);
          },
        },
      });
      expect(new Set(chosen.map(({ length }) => length))).toContain(1);
    },
  );

  test("Gumbel noise chooses the second expert alone, among the others", async () => {
    const noise = uniformArray(N * E, 7, -3, 3);
    const gumbel = tensor(device, Float32Array.from(noise), [N, E]);
    const { plan } = await routed(loaded({}), x, { gumbel } as object);
    const expected = rowsOf(x, H).flatMap((token, n) => {
      const first = bestTwo[n]?.[0] as number;
      const noisy = times(weight, 0, E, token).map((value, e) => value + (noise[n * E + e] as number));
      return [first, falling(noisy).find((e) => e !== first) as number];
    });
    expect(plan.assignmentExpert).toEqual(expected);
  });

  test("a second expert stays where 2 g₂ > u, with g₂ divided first when weights are divided before dropping", async () => {
    const draws = uniformArray(N, 8, 0, 1);
    for (const normalize of ["before", "after"] as const) {
      const uniform = tensor(device, Float32Array.from(draws));
      const { plan, weights } = await routed(loaded({ normalize, dropTokens: false }), x, { uniform } as object);
      const stays = bestTwo.map((experts, n) => {
        const [g1, g2] = experts.map((e) => probsOf[n]?.[e] ?? 0) as [number, number];
        return 2 * (normalize === "before" ? g2 / (g1 + g2) : g2) > (draws[n] as number);
      });
      expect(plan.assignmentExpert).toEqual(bestTwo.flatMap(([a, b], n) => [a, stays[n] ? b : NONE]));
      for (const [n, stay] of stays.entries()) {
        if (stay) continue;
        expect(weights[2 * n + 1]).toBe(0);
        const [g1, g2] = (bestTwo[n] ?? []).map((e) => probsOf[n]?.[e] ?? 0) as [number, number];
        expect(weights[2 * n]).toBeCloseTo(normalize === "before" ? g1 / (g1 + g2) : 1, 5);
      }
    }
  });

  test("noise comes from the step's key, and only in training", async () => {
    const router = loaded({ secondExpert: "gumbel" });
    const choices = async (context: object) => (await routed(router, x, context)).plan.assignmentExpert;
    expect(await choices({})).toEqual(bestTwo.flat());
    const first = await choices({ training: true, key: new RandomKey(1) });
    expect(await choices({ training: true, key: new RandomKey(1) })).toEqual(first);
    expect(await choices({ training: true, key: new RandomKey(2) })).not.toEqual(first);
    expect(() => router.route(tensor(device, new Float32Array(H), [1, H]), undefined, { training: true })).toThrow(
      "GShardRouter: draws second expert in training and needs context.key, the step's random key",
    );
  });

  test("routing groups are routed alone", async () => {
    const router = loaded({ groupSize: 7, evalCapacityFactor: 0.5, minCapacity: 1 });
    const four = x.subarray(0, 28 * H);
    const together = await routed(router, four);
    const loads = loadsOf(together.plan, 4, 28);
    expect(Math.max(...loads)).toBeLessThanOrEqual(2); // ceil(7 / 4 · 0.5 · 2)
    const parts = await Promise.all([0, 1, 2, 3].map((g) => routed(router, four.subarray(g * 7 * H, (g + 1) * 7 * H))));
    expect([...together.weights]).toEqual(parts.flatMap(({ weights }) => [...weights]));
    expect(() => router.route(tensor(device, new Float32Array(9 * H), [9, H]))).toThrow(
      "router: a groupSize of 7 does not divide 9 tokens; near it 1, 3, 9 would",
    );
  });

  test("a uniform router has a loss of 1", async () => {
    const router = make();
    router.load(new Map([["weight", new Float32Array(E * H)]]));
    const { loss } = scope(() => {
      const routing = router.route(tensor(device, Float32Array.from(x), [N, H]));
      return { loss: balanceLoss([routing], { form: "gshard" }).item() };
    });
    expect(await loss).toBeCloseTo(1, 5); // all first choices tie to expert 0, whose mean probability is 1 / E
  });
});
