import { checkOp, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { entropyLoss, TopPRouter, type TopPRouterOptions } from "../../../src/moe/index.ts";
import { RandomKey, scope, tensor } from "../../../src/tensor/index.ts";
import { rowsOf, softmax, times } from "../layer-reference.ts";
import { moduleAsOp } from "../module-as-op.ts";
import { checkContract, checkRouterLayer, falling, softmaxOf } from "./router-checks.ts";

const device = await testDevice();

const [N, H, E] = [13, 5, 6];
const sizes = { hiddenSize: H, numExperts: E };

/** The experts that one token takes. */
function taken(
  scores: readonly number[],
  { threshold = 0.4, minExperts = 1, maxExperts = E }: Partial<TopPRouterOptions>,
) {
  const probs = softmax(scores);
  let before = 0;
  return falling(scores)
    .slice(0, maxExperts)
    .filter((e, r) => {
      const keeps = r < minExperts || before <= threshold;
      before += probs[e] as number;
      return keeps;
    });
}

describe("TopPRouter", () => {
  test("keeps the contract of routers where it takes a fixed number", async () => {
    await checkContract(
      ({ topK, ...sizes }) => new TopPRouter(device, { ...sizes, minExperts: topK, maxExperts: topK, normalize: true }),
      new RandomKey(5),
    );
  });

  test.each<Partial<TopPRouterOptions>>([
    {},
    { threshold: 0.7, normalize: true },
    { threshold: 0.9, maxExperts: 3 },
    { threshold: 0, minExperts: 2 },
    { threshold: 1 },
  ])("a layer has the values and gradients of float64, %o", async (options) => {
    await checkRouterLayer({
      router: new TopPRouter(device, { ...sizes, ...options }),
      numTokens: N,
      spread: 1,
      reference: {
        scores: (tokens, weights) => tokens.map((token) => times(weights.get("weight") ?? [], 0, E, token)),
        choose: (scores) => scores.map((row) => taken(row, options)),
        weigh: (row, experts) => {
          const weights = softmaxOf(row, experts);
          const total = options.normalize ? weights.reduce((a, b) => a + b, 0) : 1;
          return weights.map((weight) => weight / total);
        },
      },
    });
  });

  test("the threshold and the temperature set how many experts a token takes", async () => {
    const x = tensor(device, Float32Array.from(uniformArray(N * H, 4)), [N, H]);
    const rows = async (options: Partial<TopPRouterOptions>) => {
      using router = new TopPRouter(device, { ...sizes, ...options }).initialize(new RandomKey(1));
      const [total = 0] = await scope(() => ({ status: router.route(x).plan.status.read() })).status;
      return total;
    };
    expect(await rows({ threshold: 0 })).toBe(N);
    expect(await rows({ threshold: 1 })).toBe(N * E);
    expect(await rows({ temperature: 0.001 })).toBeLessThan(await rows({}));
  });

  test.each<[Partial<TopPRouterOptions>, string]>([
    [{ threshold: 1.5 }, "threshold 1.5"],
    [{ minExperts: 4, maxExperts: 3 }, "4 to 3 of 6 experts"],
    [{ temperature: 0 }, "temperature 0"],
  ])("%o is an error", (options, message) => {
    expect(() => new TopPRouter(device, { ...sizes, ...options })).toThrow(message);
  });
});

test("entropyLoss is the mean entropy of the router, with its gradient", async () => {
  using router = new TopPRouter(device, sizes);
  await checkOp(device, {
    op: moduleAsOp(router, (x) => entropyLoss([router.route(x)])),
    reference: (x, weight) => {
      const entropies = rowsOf(x, H).map((token) =>
        softmax(times(weight as Float64Array, 0, E, token)).reduce((h, p) => h - p * Math.log(p), 0),
      );
      return [entropies.reduce((a, b) => a + b, 0) / N];
    },
    inputs: [
      { shape: [N, H], data: uniformArray(N * H, 1) },
      { shape: [E, H], data: uniformArray(E * H, 2) },
    ],
  });
});
