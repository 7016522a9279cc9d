import { expectClose, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { BalancedAssignmentRouter } from "../../../src/moe/index.ts";
import { RandomKey, tensor } from "../../../src/tensor/index.ts";
import { rowsOf, times } from "../layer-reference.ts";
import { checkContract, checkRouterLayer, falling, loadsOf, routed } from "./router-checks.ts";

const device = await testDevice();

const [N, H, E] = [24, 5, 3];
const x = uniformArray(N * H, 1);
const weight = uniformArray(E * H, 2, -2, 2);
const sigmoid = (v: number) => 1 / (1 + Math.exp(-v));

function loaded(assignmentSize?: number) {
  const router = new BalancedAssignmentRouter(device, {
    hiddenSize: H,
    numExperts: E,
    ...(assignmentSize === undefined ? {} : { assignmentSize }),
  });
  router.load(new Map([["weight", Float32Array.from(weight)]]));
  return router;
}

/** The assignment of rows to columns with even loads and the largest sum, of all there are. */
function best(scores: readonly number[][], room: number): number[] {
  let [most, found] = [Number.NEGATIVE_INFINITY, [] as number[]];
  const load = new Array<number>(scores[0]?.length ?? 0).fill(0);
  const visit = (chosen: number[], sum: number) => {
    const row = scores[chosen.length];
    if (!row) {
      if (sum > most) [most, found] = [sum, chosen];
      return;
    }
    for (const [e, score] of row.entries()) {
      if (load[e] === room) continue;
      load[e] = (load[e] as number) + 1;
      visit([...chosen, e], sum + score);
      load[e] = (load[e] as number) - 1;
    }
  };
  visit([], 0);
  return found;
}

describe("BalancedAssignmentRouter", () => {
  test("keeps the contract of routers", async () => {
    await checkContract(({ topK: _, ...sizes }) => new BalancedAssignmentRouter(device, sizes), new RandomKey(5));
  });

  test("all experts get equally many tokens in training", async () => {
    expect(loadsOf((await routed(loaded(), x, { training: true })).plan)).toEqual([8, 8, 8]);
    const { plan } = await routed(loaded(12), x, { training: true });
    expect(loadsOf(plan, 2, N)).toEqual([4, 4, 4, 4, 4, 4]);
  });

  test("the sum of scores is the largest of all balanced assignments", async () => {
    const few = x.subarray(0, 9 * H);
    const { plan } = await routed(loaded(), few, { training: true });
    const scores = rowsOf(few, H).map((token) => times(weight, 0, E, token));
    expect(plan.assignmentExpert).toEqual(best(scores, 3));
  });

  test("each token takes its best expert otherwise, with the sigmoid of its score", async () => {
    const { plan, weights } = await routed(loaded(), x);
    const scores = rowsOf(x, H).map((token) => times(weight, 0, E, token));
    const experts = scores.map((row) => falling(row)[0] as number);
    expect(plan.assignmentExpert).toEqual(experts);
    expectClose(
      "weights",
      weights,
      experts.map((e, n) => sigmoid(scores[n]?.[e] ?? 0)),
      2e-6,
    );
    expect(new Set(loadsOf(plan)).size).toBeGreaterThan(1);
  });

  test("padding takes nobody's place", async () => {
    const mask = Array.from({ length: N }, (_, n) => (n < 9 ? 1 : 0));
    const { plan } = await routed(loaded(), x, { training: true, mask: tensor(device, mask) });
    expect(loadsOf(plan)).toEqual([3, 3, 3]);
    expect(plan.status).toEqual([9, 0, 0, 0]);
  });

  test("a layer has the gradients of float64", async () => {
    await checkRouterLayer({
      router: new BalancedAssignmentRouter(device, { hiddenSize: H, numExperts: E }),
      numTokens: 9,
      context: { training: true },
      reference: {
        scores: (tokens, weights) => tokens.map((token) => times(weights.get("weight") ?? [], 0, E, token)),
        choose: (rows) => best(rows, 3).map((e) => [e]),
        weigh: (row, experts) => experts.map((e) => sigmoid(row[e] as number)),
      },
    });
  });
});
