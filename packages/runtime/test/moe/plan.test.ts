import { testDevice, uniform } from "@moebius/testing";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { NONE, planTopK } from "../../src/moe/plan.ts";
import { scope, tensor } from "../../src/tensor/index.ts";
import { type HostPlan, type PlanCase, readPlan, referencePlan } from "./plan-reference.ts";

const device = await testDevice();

function planOf(
  { numTokens, topK, experts, order, mask, ...options }: PlanCase,
  weights?: number[],
): Promise<HostPlan> {
  const { plan } = scope(() => {
    const indices = tensor(device, Uint32Array.from(experts), [numTokens, topK]);
    const factors = tensor(device, weights ?? experts.map(() => 1), [numTokens, topK]);
    const onDevice = { mask: mask && tensor(device, mask), order: order && tensor(device, Uint32Array.from(order)) };
    return { plan: readPlan(planTopK(indices, factors, { ...options, ...onDevice })) };
  });
  return plan;
}

const plainCase = (numTokens: number, topK: number, numExperts: number, choose: (a: number) => number): PlanCase => ({
  numTokens,
  topK,
  numExperts,
  experts: Array.from({ length: numTokens * topK }, (_, a) => choose(a)),
});

function shuffle(length: number, random: () => number): number[] {
  const left = Array.from({ length }, (_, i) => i);
  return Array.from({ length }, () => left.splice(Math.floor(random() * left.length), 1)[0] as number);
}

/** Distinct experts a token; some ids name experts without a product. */
const anyCase: fc.Arbitrary<PlanCase> = fc
  .record({
    numTokens: fc.oneof(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 10, max: 600 })),
    numExperts: fc.oneof(fc.integer({ min: 1, max: 64 }), fc.integer({ min: 65, max: 300 })), // two kernels
    withoutProduct: fc.constantFrom(0, 0, 3),
    choices: fc.integer({ min: 1, max: 8 }),
    seed: fc.integer({ min: 1, max: 1e6 }),
    skew: fc.constantFrom(1, 3),
    capacityFactor: fc.option(fc.constantFrom(0, 0.25, 0.5, 1, 2), { nil: undefined }),
    priority: fc.constantFrom("token" as const, "choice" as const),
    maskShare: fc.constantFrom(0, 0.3, 1),
    noneShare: fc.constantFrom(0, 0, 0.5),
    shuffled: fc.constantFrom("nothing", "tokens", "places"),
    groups: fc.constantFrom(1, 1, 3),
    room: fc.option(fc.constantFrom(0, 0.4, 0.7, 1.5), { nil: undefined }),
  })
  .map(
    ({
      numTokens,
      numExperts,
      withoutProduct,
      choices,
      seed,
      skew,
      capacityFactor,
      priority,
      maskShare,
      noneShare,
      shuffled,
      groups,
      room,
    }): PlanCase => {
      const random = uniform(seed);
      const ids = numExperts + withoutProduct;
      const topK = Math.min(choices, ids);
      const experts = Array.from({ length: numTokens }, () => {
        const left = Array.from({ length: ids }, (_, id) => id);
        return Array.from({ length: topK }, () => {
          const id = left.splice(Math.floor(random() ** skew * left.length), 1)[0] ?? 0;
          return random() < noneShare ? NONE : id;
        });
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
        ...(shuffled === "nothing"
          ? {}
          : { order: shuffle(shuffled === "tokens" ? numTokens : numTokens * topK, random) }),
        ...(numTokens % groups === 0 ? { routingGroups: groups } : {}),
        ...(room === undefined ? {} : { maxAssignments: Math.floor(room * numTokens * topK) }),
      };
    },
  );

function expectSound(plan: HostPlan, { numTokens, numExperts, capacity, routingGroups = 1 }: PlanCase): void {
  const [total = -1] = plan.status;
  const rows = plan.slotAssignment.slice(0, total);
  expect(new Set(rows).size).toBe(total); // no assignment has two rows
  expect(plan.slotAssignment.slice(total).every((a) => a === NONE)).toBe(true);
  const load = new Map<string, number>();
  for (const [slot, a] of rows.entries()) {
    expect(plan.assignmentSlot[a]).toBe(slot);
    const expert = plan.groupOffsets.findLastIndex((offset) => offset <= slot);
    expect(plan.assignmentExpert[a]).toBe(expert);
    expect(expert).toBeLessThan(numExperts);
    const key = `${expert} ${Math.floor(((plan.assignmentToken[a] as number) * routingGroups) / numTokens)}`;
    load.set(key, (load.get(key) ?? 0) + 1);
  }
  expect(Math.max(0, ...load.values())).toBeLessThanOrEqual(capacity ?? Number.POSITIVE_INFINITY);
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
    ["all tokens to one of 128 experts", plainCase(600, 1, 128, () => 117)],
    ["all tokens to one of 256 experts", plainCase(600, 1, 256, () => 217)],
    ["all tokens to one of 257 experts", plainCase(600, 1, 257, () => 17)],
    ["more assignments than one workgroup serves", plainCase(3000, 3, 8, (a) => (a * a) % 8)],
    ["no token, many experts", plainCase(0, 2, 300, () => 0)],
    ["every expert for every token", plainCase(90, 8, 8, (a) => (a * 5 + Math.floor(a / 8)) % 8)],
    ["no expert with a product", plainCase(5, 2, 4, (a) => 4 + a)],
    ["a token that names an expert twice", plainCase(4, 2, 3, () => 1)],
    ["no room at all", { ...plainCase(6, 1, 2, (a) => a % 2), capacity: 0 }],
    ["ragged choices", { ...plainCase(7, 3, 4, (a) => (a % 2 ? NONE : a % 4)), maxAssignments: 11 }],
    ["ragged choices of many", { ...plainCase(999, 9, 300, (a) => (a % 8 ? NONE : a % 300)), maxAssignments: 1200 }],
    ["ragged choices of no token", { ...plainCase(0, 3, 4, () => 0), maxAssignments: 5 }],
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

  test("tokens are served in the given order", async () => {
    // Three tokens want expert 0, which takes two: token 2 and then token 0.
    const plan = await planOf({ ...plainCase(3, 1, 2, () => 0), capacity: 2, order: [2, 0, 1] });
    expect(plan.slotAssignment).toEqual([2, 0, NONE]);
    expect(plan.assignmentSlot).toEqual([1, NONE, 0]);
  });

  test("choices are served in an order of their own", async () => {
    // Places 1, 2 and 3 want expert 0, which takes two: 3 and then 1.
    const experts = [1, 0, 0, 0];
    const plan = await planOf({ numTokens: 2, topK: 2, numExperts: 2, experts, capacity: 2, order: [3, 0, 1, 2] });
    expect(plan.slotAssignment).toEqual([3, 1, 0, NONE]);
  });

  test("capacity counts within each routing group, rows of an expert stay together", async () => {
    // Two groups of three tokens; all but token 4 want expert 1, which takes two of each group.
    const experts = [1, 1, 1, 1, 0, 1];
    const plan = await planOf({ numTokens: 6, topK: 1, numExperts: 2, experts, capacity: 2, routingGroups: 2 });
    expect(plan.groupOffsets).toEqual([0, 1, 5]);
    expect(plan.slotToken.slice(0, 5)).toEqual([4, 0, 1, 3, 5]);
    expect(plan.status).toEqual([5, 1, 0, 0]);
  });

  test("compact choices leave no gaps, and count what is beyond their room", async () => {
    // Tokens choose (2), (), (0, 9: without a product), (1); room for three.
    const experts = [NONE, 2, NONE, NONE, 0, 9, 1, NONE];
    const plan = await planOf({ numTokens: 4, topK: 2, numExperts: 3, experts, maxAssignments: 3 });
    expect(plan).toEqual({
      assignmentToken: [0, 2, 2],
      assignmentExpert: [2, 0, 9],
      tokenOffsets: [0, 1, 1, 3, 3],
      assignmentSlot: [1, 0, NONE],
      slotAssignment: [1, 0, NONE],
      slotToken: [2, 0, 0],
      groupOffsets: [0, 1, 1, 2],
      status: [2, 0, 1, 0],
    });
  });

  test("weights that are not finite are counted, those of padding are not", async () => {
    const c = { ...plainCase(3, 2, 4, (a) => a % 4), mask: [1, 0, 1] };
    const weights = [Number.NaN, 1, Number.NaN, Number.NaN, -1 / 0, 1 / 0];
    expect((await planOf(c, weights)).status).toEqual([4, 0, 0, 3]);
  });

  test.each([
    [8192, 64],
    [4096, 128],
    [2048, 256],
  ])("%d assignments to %d experts take one dispatch", async (numTokens, numExperts) => {
    const indices = tensor(device, new Uint32Array(numTokens), [numTokens, 1]);
    const weights = tensor(device, new Float32Array(numTokens), [numTokens, 1]);
    await device.finish();
    const { dispatches } = device.counters;
    scope(() => void planTopK(indices, weights, { numExperts }));
    await device.finish();
    expect(device.counters.dispatches - dispatches).toBe(1);
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
    expect(() => planTopK(indices, weights, { numExperts: 2, maxAssignments: -1 })).toThrow(
      "planTopK: maxAssignments must be a count of rows, got -1",
    );
    expect(() => planTopK(indices, weights, { numExperts: 2, routingGroups: 3 })).toThrow(
      "planTopK: 2 tokens cannot make 3 routing groups of one size",
    );
    const order = tensor(device, new Uint32Array(3));
    expect(() => planTopK(indices, weights, { numExperts: 2, order })).toThrow(
      "planTopK: order [3] for 2 tokens, or 4 choices of theirs",
    );
  });
});
