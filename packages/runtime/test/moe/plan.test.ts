import { testDevice, uniform } from "@moebius/testing";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { NONE, planTopK } from "../../src/moe/plan.ts";
import { scope, tensor } from "../../src/tensor/index.ts";
import { type HostPlan, type PlanCase, readPlan, referencePlan } from "./plan-reference.ts";

const device = await testDevice();

function planOf(
  { numTokens, topK, numExperts, experts, capacity, priority, mask }: PlanCase,
  weights?: number[],
): Promise<HostPlan> {
  const { plan } = scope(() => {
    const indices = tensor(device, Uint32Array.from(experts), [numTokens, topK]);
    const factors = tensor(device, weights ?? experts.map(() => 1), [numTokens, topK]);
    const maskTensor = mask && tensor(device, mask);
    return { plan: readPlan(planTopK(indices, factors, { numExperts, capacity, priority, mask: maskTensor })) };
  });
  return plan;
}

const plainCase = (numTokens: number, topK: number, numExperts: number, choose: (a: number) => number): PlanCase => ({
  numTokens,
  topK,
  numExperts,
  experts: Array.from({ length: numTokens * topK }, (_, a) => choose(a)),
});

/** Distinct experts a token; some ids name experts without a product. */
const anyCase: fc.Arbitrary<PlanCase> = fc
  .record({
    numTokens: fc.oneof(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 10, max: 600 })),
    numExperts: fc.oneof(fc.integer({ min: 1, max: 64 }), fc.integer({ min: 65, max: 100 })), // two kernels
    withoutProduct: fc.constantFrom(0, 0, 3),
    choices: fc.integer({ min: 1, max: 8 }),
    seed: fc.integer({ min: 1, max: 1e6 }),
    skew: fc.constantFrom(1, 3),
    capacityFactor: fc.option(fc.constantFrom(0, 0.25, 0.5, 1, 2), { nil: undefined }),
    priority: fc.constantFrom("token" as const, "choice" as const),
    maskShare: fc.constantFrom(0, 0.3, 1),
  })
  .map(
    ({ numTokens, numExperts, withoutProduct, choices, seed, skew, capacityFactor, priority, maskShare }): PlanCase => {
      const random = uniform(seed);
      const ids = numExperts + withoutProduct;
      const topK = Math.min(choices, ids);
      const experts = Array.from({ length: numTokens }, () => {
        const left = Array.from({ length: ids }, (_, id) => id);
        return Array.from({ length: topK }, () => left.splice(Math.floor(random() ** skew * left.length), 1)[0] ?? 0);
      }).flat();
      return {
        numTokens,
        topK,
        numExperts,
        experts,
        priority,
        ...(capacityFactor === undefined
          ? {}
          : { capacity: Math.ceil((capacityFactor * numTokens * topK) / numExperts) }),
        ...(maskShare === 0 || numTokens === 0
          ? {}
          : { mask: Array.from({ length: numTokens }, () => (random() < maskShare ? 0 : 1)) }),
      };
    },
  );

function expectSound(plan: HostPlan, { numExperts, capacity, experts, topK, mask }: PlanCase): void {
  const [total = -1, dropped] = plan.status;
  const rows = plan.slotAssignment.slice(0, total);
  expect(new Set(rows).size).toBe(total); // no assignment has two rows
  expect(plan.slotAssignment.slice(total).every((a) => a === NONE)).toBe(true);
  for (const [slot, a] of rows.entries()) {
    expect(plan.assignmentSlot[a]).toBe(slot);
    const group = plan.groupOffsets.findLastIndex((offset) => offset <= slot);
    expect(experts[a]).toBe(group);
  }
  const wanted = experts.filter((id, a) => id < numExperts && mask?.[Math.floor(a / topK)] !== 0).length;
  expect(total + (dropped as number)).toBe(wanted);
  for (let group = 0; group < numExperts; group++) {
    const size = (plan.groupOffsets[group + 1] as number) - (plan.groupOffsets[group] as number);
    expect(size).toBeLessThanOrEqual(capacity ?? experts.length);
  }
}

describe("planTopK", () => {
  test("gives every assignment its row or drops it, as serving one at a time would", async () => {
    await fc.assert(
      fc.asyncProperty(anyCase, async (c) => {
        const plan = await planOf(c);
        expectSound(plan, c);
        expect(plan).toEqual(referencePlan(c));
      }),
      { numRuns: 80, seed: 7 },
    );
  });

  test.each([
    ["no token", plainCase(0, 2, 4, () => 0)],
    ["one token", plainCase(1, 2, 4, (a) => 3 - a)],
    ["one expert", plainCase(37, 1, 1, () => 0)],
    ["all tokens to one of 64 experts", plainCase(600, 1, 64, () => 17)],
    ["all tokens to one of 65 experts", plainCase(600, 1, 65, () => 17)],
    ["more assignments than one workgroup serves", plainCase(3000, 3, 8, (a) => (a * a) % 8)],
    ["no token, many experts", plainCase(0, 2, 65, () => 0)],
    ["every expert for every token", plainCase(90, 8, 8, (a) => (a * 5 + Math.floor(a / 8)) % 8)],
    ["no expert with a product", plainCase(5, 2, 4, (a) => 4 + a)],
    ["a token that names an expert twice", plainCase(4, 2, 3, () => 1)],
    ["no room at all", { ...plainCase(6, 1, 2, (a) => a % 2), capacity: 0 }],
    ["only padding", { ...plainCase(5, 1, 2, (a) => a % 2), mask: [0, 0, 0, 0, 0] }],
  ])("plans %s", async (_, c) => {
    expect(await planOf(c)).toEqual(referencePlan(c));
  });

  test("rows of an expert are in token order, and the later token is dropped", async () => {
    // Tokens 0, 1, 2 choose (0,1), (1,0), (0,1); two rows an expert: token 2 finds both full.
    const c = { numTokens: 3, topK: 2, numExperts: 2, experts: [0, 1, 1, 0, 0, 1], capacity: 2 };
    const plan = await planOf(c);
    expect(plan.slotAssignment).toEqual([0, 3, 1, 2, NONE, NONE]);
    expect(plan.slotToken).toEqual([0, 1, 0, 1, 0, 0]);
    expect(plan.assignmentSlot).toEqual([0, 2, 3, 1, NONE, NONE]);
    expect(plan.status).toEqual([4, 2, 0, 0]);
  });

  test("first choices come before second ones when priority is choice", async () => {
    // First choices 0, 1, 0 fill expert 0; token 1's second choice, expert 0, is dropped, and token 2's second one, expert 1.
    const experts = [0, 1, 1, 0, 0, 1];
    const plan = await planOf({ numTokens: 3, topK: 2, numExperts: 2, experts, capacity: 2, priority: "choice" });
    expect(plan.slotAssignment).toEqual([0, 4, 2, 1, NONE, NONE]);
    expect(plan.assignmentSlot).toEqual([0, 3, 2, NONE, 1, NONE]);
    expect(plan.status).toEqual([4, 2, 0, 0]);
  });

  test("weights that are not finite are counted, those of padding are not", async () => {
    const c = { ...plainCase(3, 2, 4, (a) => a % 4), mask: [1, 0, 1] };
    const weights = [Number.NaN, 1, Number.NaN, Number.NaN, -1 / 0, 1 / 0];
    expect((await planOf(c, weights)).status).toEqual([4, 0, 0, 3]);
  });

  test("shapes that do not fit and a capacity that is no count are errors", () => {
    const indices = tensor(device, new Uint32Array(4), [2, 2]);
    const weights = tensor(device, new Float32Array(4), [2, 2]);
    const one = tensor(device, [1]);
    expect(() => planTopK(indices, one, { numExperts: 2 })).toThrow(
      "planTopK: indices [2, 2] and weights [1] must both be [tokens, k]",
    );
    expect(() => planTopK(indices, weights, { numExperts: 2, mask: one })).toThrow("planTopK: mask [1] for 2 tokens");
    expect(() => planTopK(indices, weights, { numExperts: 2, capacity: 1.5 })).toThrow(
      "planTopK: capacity must be a count of rows, got 1.5",
    );
  });
});
