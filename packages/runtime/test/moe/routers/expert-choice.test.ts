import { expectClose, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { ExpertChoiceRouter, type ExpertChoiceRouterOptions, NONE } from "../../../src/moe/index.ts";
import { RandomKey, tensor } from "../../../src/tensor/index.ts";
import { rowsOf, softmax, times } from "../layer-reference.ts";
import { checkContract, checkRouterLayer, falling, loadsOf, routed, softmaxOf } from "./router-checks.ts";

const device = await testDevice();

const [G, S, H, E] = [2, 12, 5, 4];
const N = G * S;
const x = uniformArray(N * H, 1);
const weight = uniformArray(E * H, 2, -2, 2);

function loaded(options: Partial<ExpertChoiceRouterOptions>) {
  const router = new ExpertChoiceRouter(device, {
    hiddenSize: H,
    numExperts: E,
    capacityMultipleOf: 1,
    groupSize: S,
    ...options,
  });
  router.load(new Map([["weight", Float32Array.from(weight)]]));
  return router;
}

/** The experts of each token, best first: each expert took its C best tokens of each group. */
function chosenBy(probs: readonly number[][], groupSize: number, capacity: number): number[][] {
  const experts = probs.map((): number[] => []);
  for (let begin = 0; begin < probs.length; begin += groupSize)
    for (let e = 0; e < E; e++) {
      const column = probs.slice(begin, begin + groupSize).map((row) => row[e] as number);
      for (const n of falling(column).slice(0, capacity)) experts[begin + n]?.push(e);
    }
  return experts.map((own, n) => own.sort((a, b) => (probs[n]?.[b] ?? 0) - (probs[n]?.[a] ?? 0)));
}

const probsOf = rowsOf(x, H).map((token) => softmax(times(weight, 0, E, token)));

describe("ExpertChoiceRouter", () => {
  test("keeps the contract of routers", async () => {
    await checkContract(({ topK: _, ...sizes }) => new ExpertChoiceRouter(device, sizes), new RandomKey(5));
  });

  test("each expert takes its best tokens of each group, all experts equally many", async () => {
    const { plan, weights } = await routed(loaded({ capacityFactor: 1.5 }), x); // C = ceil(12 · 1.5 / 4) = 5
    expect(loadsOf(plan, G, N)).toEqual(new Array(E * G).fill(5));
    const expected = chosenBy(probsOf, S, 5);
    const found = expected.map((_, n) => plan.assignmentExpert.slice(plan.tokenOffsets[n], plan.tokenOffsets[n + 1]));
    expect(found).toEqual(expected);
    expectClose(
      "weights",
      weights,
      expected.flatMap((experts, n) => experts.map((e) => probsOf[n]?.[e] ?? 0)),
      2e-6,
    );
    expect(new Set(expected.map(({ length }) => length)).size).toBeGreaterThan(2);
  });

  test("there are as many assignments as experts take tokens, and no more", async () => {
    const { plan } = await routed(loaded({ capacityFactor: 1.5 }), x);
    expect(plan.assignmentExpert.length).toBe(G * E * 5);
    expect(plan.status).toEqual([G * E * 5, 0, 0, 0]);
    expect(plan.assignmentExpert).not.toContain(NONE);
  });

  test("the capacity is raised to a multiple, up to the tokens there are", () => {
    expect(loaded({ capacityFactor: 1, capacityMultipleOf: 4 }).capacity(32)).toBe(8);
    expect(loaded({ capacityFactor: 1, capacityMultipleOf: 4 }).capacity(20)).toBe(8); // ceil(5) to 8
    expect(loaded({ capacityFactor: 9 }).capacity(12)).toBe(12);
  });

  test("ties go to the lower token", async () => {
    const same = Array.from({ length: N * H }, (_, i) => x[i % H] as number);
    const { plan } = await routed(loaded({ capacityFactor: 1 }), same); // C = 3
    const tokens = plan.slotToken.slice(plan.groupOffsets[0], plan.groupOffsets[1]);
    expect(tokens).toEqual([0, 1, 2, S, S + 1, S + 2]);
  });

  test("padding is chosen last, and takes no row", async () => {
    const mask = Array.from({ length: N }, (_, n) => (n % S < 4 ? 1 : 0));
    const { plan } = await routed(loaded({ capacityFactor: 2 }), x, { mask: tensor(device, mask) }); // C = 6 of 4 tokens
    expect(loadsOf(plan, G, N)).toEqual(new Array(E * G).fill(4));
    expect(plan.slotToken.slice(0, plan.status[0]).every((token) => mask[token] === 1)).toBe(true);
    expect(plan.status[2]).toBe(0);
  });

  test("permuting tokens permutes their experts", async () => {
    const router = loaded({ capacityFactor: 1.5, groupSize: N });
    const order = Array.from({ length: N }, (_, n) => (n * 7 + 2) % N);
    const experts = async (values: ArrayLike<number>) => {
      const { plan } = await routed(router, values);
      return order.map((_, n) => plan.assignmentExpert.slice(plan.tokenOffsets[n], plan.tokenOffsets[n + 1]));
    };
    const permuted = order.flatMap((n) => [...x.subarray(n * H, (n + 1) * H)]);
    const [straight, mixed] = [await experts(x), await experts(permuted)];
    expect(mixed).toEqual(order.map((n) => straight[n]));
  });

  test("logits that are not finite are counted", async () => {
    const sick = Float64Array.from(x);
    sick[3] = Number.NaN;
    expect((await routed(loaded({}), sick)).plan.status[3]).toBeGreaterThan(0);
  });

  test("a layer has the gradients of float64", async () => {
    const drawn = uniformArray(N * E, 8, -2, 2);
    const { chosen } = await checkRouterLayer({
      router: new ExpertChoiceRouter(device, {
        hiddenSize: H,
        numExperts: E,
        capacityFactor: 1.5,
        capacityMultipleOf: 1,
        groupSize: S,
      }),
      numTokens: N,
      context: { noise: tensor(device, Float32Array.from(drawn), [N, E]) } as object,
      reference: {
        scores: (tokens, weights) =>
          tokens.map((token, n) =>
            times(weights.get("weight") ?? [], 0, E, token).map(
              (v, e) => v + Math.fround(drawn[n * E + e] as number) / E,
            ),
          ),
        choose: (rows) =>
          chosenBy(
            rows.map((row) => softmax(row)),
            S,
            5,
          ),
        weigh: softmaxOf,
      },
    });
    expect(chosen.flat().length).toBe(G * E * 5);
  });
});
