import { checkOp, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { consistencyLoss, type StochasticContext, StochasticRouter } from "../../../src/moe/index.ts";
import { RandomKey, scope, tensor } from "../../../src/tensor/index.ts";
import { rowsOf, softmax } from "../layer-reference.ts";
import { checkRouterLayer } from "./router-checks.ts";

const device = await testDevice();

const [N, H, E] = [12, 5, 4];
const sizes = { hiddenSize: H, numExperts: E };
const x = tensor(device, Float32Array.from(uniformArray(N * H, 4)), [N, H]);

async function drawn(router: StochasticRouter, context: StochasticContext): Promise<number[]> {
  const { experts } = scope(() => ({ experts: router.route(x, undefined, context).plan.assignmentExpert.read() }));
  return [...(await experts)];
}

describe("StochasticRouter", () => {
  test("in training one expert serves the whole batch, each as often as the others", async () => {
    using router = new StochasticRouter(device, sizes);
    const counts = new Array<number>(E).fill(0);
    for (let seed = 0; seed < 80; seed++) {
      const experts = await drawn(router, { training: true, key: new RandomKey(seed) });
      expect(new Set(experts).size).toBe(1);
      counts[experts[0] as number] = (counts[experts[0] as number] ?? 0) + 1;
    }
    for (const count of counts) expect(Math.abs(count - 20)).toBeLessThan(16); // four deviations of √(80 · ¼ · ¾)
  });

  test("at inference each token draws, or each sentence", async () => {
    using router = new StochasticRouter(device, sizes);
    const key = new RandomKey(3);
    const tokens = await drawn(router, { key });
    expect(new Set(tokens).size).toBeGreaterThan(1);
    for (const expert of tokens) expect(expert).toBeLessThan(E);
    expect(await drawn(router, { key })).toEqual(tokens);
    router.inference = "sentence";
    const sentences = await drawn(router, { key, numSentences: 3 });
    for (const [n, expert] of sentences.entries()) expect(expert).toBe(sentences[n - (n % 4)]);
    expect(() => scope(() => void router.route(x, undefined, { key, numSentences: 5 }))).toThrow("12 tokens");
  });

  test("the average of all experts has the values and gradients of float64", async () => {
    await checkRouterLayer({
      router: new StochasticRouter(device, { ...sizes, inference: "average" }),
      numTokens: N,
      reference: {
        scores: (tokens) => tokens.map(() => new Array<number>(E).fill(0)),
        choose: (scores) => scores.map((row) => [...row.keys()]),
        weigh: (_, experts) => experts.map(() => 1 / E),
      },
    });
  });

  test("draws need a key", () => {
    using router = new StochasticRouter(device, sizes);
    expect(() => scope(() => void router.route(x))).toThrow("needs context.key");
  });
});

test("consistencyLoss is half the symmetric divergence, with its gradient for both predictions", async () => {
  const V = 6;
  await checkOp(device, {
    op: (first, second) => consistencyLoss(first as typeof x, second as typeof x),
    reference: (first, second) => {
      const [p, q] = [first, second].map((logits) => rowsOf(logits as Float64Array, V).map(softmax)) as [
        number[][],
        number[][],
      ];
      const total = p.flatMap((row, n) =>
        row.map((a, v) => (a - (q[n]?.[v] as number)) * Math.log(a / (q[n]?.[v] as number))),
      );
      return [total.reduce((a, b) => a + b, 0) / (2 * N)];
    },
    inputs: [
      { shape: [N, V], data: uniformArray(N * V, 1) },
      { shape: [N, V], data: uniformArray(N * V, 2) },
    ],
  });
});
