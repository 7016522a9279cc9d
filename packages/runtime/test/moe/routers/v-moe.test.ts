import { expectClose, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { NONE, sparseRouting, VMoeRouter, type VMoeRouterOptions } from "../../../src/moe/index.ts";
import { argsortDescending, topK } from "../../../src/ops/index.ts";
import { RandomKey, scope, tensor } from "../../../src/tensor/index.ts";
import { rowsOf, softmax, times } from "../layer-reference.ts";
import { readPlan } from "../plan-reference.ts";
import { checkContract, checkRouterLayer, falling, loadsOf, routed, softmaxOf } from "./router-checks.ts";

const device = await testDevice();

const [G, S, H, E, K] = [3, 8, 5, 4, 2];
const N = G * S;
const x = uniformArray(N * H, 1);
const weight = uniformArray(E * H, 2, -2, 2);

function loaded(options: Partial<VMoeRouterOptions>) {
  const router = new VMoeRouter(device, {
    hiddenSize: H,
    numExperts: E,
    topK: K,
    capacityMultipleOf: 1,
    groupSize: S,
    ...options,
  });
  router.load(new Map([["weight", Float32Array.from(weight)]]));
  return router;
}

/** Experts that find room of one group: tokens in the given order, all first choices before all second ones. */
function kept(choices: readonly number[][], order: readonly number[], capacity: number): number[][] {
  const load = new Map<number, number>();
  const keeps = choices.map((): number[] => []);
  for (let k = 0; k < K; k++)
    for (const n of order) {
      const e = choices[n]?.[k] as number;
      const rank = load.get(e) ?? 0;
      load.set(e, rank + 1);
      if (rank < capacity) keeps[n]?.push(e);
    }
  return keeps;
}

test.each([
  // (expert, place), of which place 2 finds no room: [[0,0],[2,1]], [[0,1],[2,2]], [[2,0],[0,2]]
  ["token by token", undefined, [true, true, true, false, true, false]],
  // [[0,1],[2,2]], [[0,0],[2,1]], [[2,0],[0,2]]
  ["by the largest gate", [0.4, 0.5, 0.6], [true, false, true, true, true, false]],
])("the published example keeps, %s", async (_, largest, expected) => {
  const { plan } = scope(() => {
    const probs = tensor(device, [0.4, 0, 0.2, 0.5, 0.1, 0.4, 0.3, 0.2, 0.6], [3, 3]);
    const { indices, values: weights } = topK(probs, 2);
    const order = largest && argsortDescending(tensor(device, largest));
    const serving = { capacity: 2, priority: "choice", order } as const;
    return { plan: readPlan(sparseRouting({ indices, weights, probs, logits: probs, ...serving }).plan) };
  });
  const { assignmentExpert, assignmentSlot } = await plan;
  expect(assignmentExpert).toEqual([0, 2, 0, 2, 2, 0]);
  expect(assignmentSlot.map((slot) => slot !== NONE)).toEqual(expected);
});

describe("VMoeRouter", () => {
  test("keeps the contract of routers", async () => {
    for (const batchPriority of [false, true])
      await checkContract((sizes) => new VMoeRouter(device, { ...sizes, batchPriority }), new RandomKey(5));
  });

  test.each([false, true])("each group gives out its rows alone, by priority: %s", async (batchPriority) => {
    const { plan, weights } = await routed(loaded({ batchPriority, capacityFactor: 0.5 }), x); // C = ceil(8 · 2 · 0.5 / 4) = 2
    const probs = rowsOf(x, H).map((token) => softmax(times(weight, 0, E, token)));
    const choices = probs.map((row) => falling(row).slice(0, K));
    expectClose(
      "weights",
      weights,
      choices.flatMap((experts, n) => experts.map((e) => probs[n]?.[e] ?? 0)),
      2e-6,
    );
    const expected = Array.from({ length: G }, (_, g) => {
      const own = choices.slice(g * S, (g + 1) * S);
      const tops = own.map((experts, n) => probs[g * S + n]?.[experts[0] as number] ?? 0);
      return kept(own, batchPriority ? falling(tops) : [...own.keys()], 2);
    }).flat();
    const found = choices.map((experts, n) => experts.filter((_, k) => plan.assignmentSlot[n * K + k] !== NONE));
    expect(found).toEqual(expected);
    expect(Math.max(...loadsOf(plan, G, N))).toBe(2);
    expect(plan.status[1]).toBeGreaterThan(0);
  });

  test("priority drops only tokens with smaller weights than every kept first choice of the expert", async () => {
    const { plan, weights } = await routed(loaded({ batchPriority: true, capacityFactor: 0.4, topK: 1 }), x);
    for (const [a, e] of plan.assignmentExpert.entries()) {
      if (plan.assignmentSlot[a] !== NONE) continue;
      for (const [b, other] of plan.assignmentExpert.entries())
        if (other === e && Math.floor(a / S) === Math.floor(b / S) && plan.assignmentSlot[b] !== NONE)
          expect(weights[b]).toBeGreaterThanOrEqual(weights[a] as number);
    }
    expect(plan.status[1]).toBeGreaterThan(0);
  });

  test("permuting tokens permutes what priority keeps", async () => {
    const router = loaded({ batchPriority: true, capacityFactor: 0.5, groupSize: N });
    const order = Array.from({ length: N }, (_, n) => (n * 5 + 3) % N);
    const permuted = order.flatMap((n) => [...x.subarray(n * H, (n + 1) * H)]);
    const keeps = async (values: ArrayLike<number>) => {
      const { plan } = await routed(router, values);
      return rowsOf(plan.assignmentSlot, K).map((slots) => slots.map((slot) => slot !== NONE));
    };
    const [straight, mixed] = [await keeps(x), await keeps(permuted)];
    expect(mixed).toEqual(order.map((n) => straight[n]));
  });

  test("with room for all, priority changes nothing but the rows' order", async () => {
    const room = { capacityFactor: E / K };
    const [plain, priority] = [
      await routed(loaded(room), x),
      await routed(loaded({ ...room, batchPriority: true }), x),
    ];
    expect(plain.plan.status).toEqual([N * K, 0, 0, 0]);
    expect(priority.plan.status).toEqual([N * K, 0, 0, 0]);
    expect(priority.weights).toEqual(plain.weights);
  });

  test("capacity is raised to a multiple, and may change between calls", async () => {
    const router = loaded({ capacityFactor: 0.5, capacityMultipleOf: 4 });
    const most = async () => Math.max(...loadsOf((await routed(router, x)).plan, G, N));
    expect(await most()).toBe(4);
    router.capacityFactor = 0;
    expect(await most()).toBe(0);
  });

  test("noise is divided by E, chooses and weighs; logits stay clean", async () => {
    const drawn = uniformArray(N * E, 7, -3, 3);
    const noise = tensor(device, Float32Array.from(drawn), [N, E]);
    const clean = rowsOf(x, H).map((token) => times(weight, 0, E, token));
    const noisy = clean.map((row, n) => row.map((v, e) => v + ((drawn[n * E + e] as number) * 2) / E));
    const { logits, probs, plan } = await routed(loaded({ noiseStd: 2 }), x, { noise } as object, (routing) =>
      expect(routing.noise?.deviation).toBe(2 / E),
    );
    expectClose("logits", logits, clean.flat(), 2e-6);
    expectClose("probs", probs, noisy.flatMap(softmax), 2e-6);
    expect(plan.assignmentExpert).toEqual(noisy.flatMap((row) => falling(row).slice(0, K)));
  });

  test("a layer with priority, noise and drops has the gradients of float64", async () => {
    const drawn = uniformArray(S * E, 8, -2, 2);
    const { chosen } = await checkRouterLayer({
      router: new VMoeRouter(device, {
        hiddenSize: H,
        numExperts: E,
        topK: K,
        batchPriority: true,
        capacityFactor: 0.75,
        capacityMultipleOf: 1,
      }),
      numTokens: S,
      context: { noise: tensor(device, Float32Array.from(drawn), [S, E]) } as object,
      reference: {
        scores: (tokens, weights) =>
          tokens.map((token, n) =>
            times(weights.get("weight") ?? [], 0, E, token).map(
              (v, e) => v + Math.fround(drawn[n * E + e] as number) / E,
            ),
          ),
        choose: (rows) => {
          const choices = rows.map((row) => falling(row).slice(0, K));
          const tops = rows.map((row, n) => softmaxOf(row, choices[n] ?? [])[0] as number);
          return kept(choices, falling(tops), 3);
        },
        weigh: softmaxOf,
      },
    });
    expect(chosen.flat().length).toBeLessThan(S * K);
  });
});
