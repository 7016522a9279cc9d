import { testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { annealedTemperature, DenseToSparseRouter, TopKRouter } from "../../../src/moe/index.ts";
import { RandomKey, scope, tensor } from "../../../src/tensor/index.ts";
import { softmax, times } from "../layer-reference.ts";
import { checkRouterLayer, falling, softmaxOf } from "./router-checks.ts";

const device = await testDevice();

const [N, H, E] = [13, 5, 4];
const sizes = { hiddenSize: H, numExperts: E };
const noise = uniformArray(N * E, 9);
const gumbel = tensor(device, Float32Array.from(noise), [N, E]);
const x = tensor(device, Float32Array.from(uniformArray(N * H, 4)), [N, H]);
const initialized = (options = {}) =>
  new DenseToSparseRouter(device, { ...sizes, ...options }).initialize(new RandomKey(1));
const chosenRows = async (router: DenseToSparseRouter) =>
  (await scope(() => ({ status: router.route(x, undefined, { gumbel }).plan.status.read() })).status)[0];

describe("DenseToSparseRouter", () => {
  test.each([
    { temperature: 2, threshold: 0.001, hard: false },
    { temperature: 0.3, threshold: 0.1, hard: false },
    { temperature: 0.3, threshold: 0.001, hard: true },
  ])("in training a layer has the values and gradients of float64, %o", async (options) => {
    const { temperature, threshold, hard } = options;
    await checkRouterLayer({
      router: new DenseToSparseRouter(device, { ...sizes, ...options }),
      numTokens: N,
      context: { gumbel } as object,
      reference: {
        scores: (tokens, weights) => tokens.map((token) => times(weights.get("weight") ?? [], 0, E, token)),
        choose: (scores) =>
          scores.map((row, n) => {
            const noisy = row.map((l, e) => (l + (noise[n * E + e] as number)) / temperature);
            const shares = softmax(noisy);
            return hard ? falling(noisy).slice(0, 1) : shares.flatMap((share, e) => (share > threshold ? [e] : []));
          }),
        weigh: softmaxOf,
      },
    });
  });

  test("takes all experts while the temperature is high, and one when it is low", async () => {
    using router = initialized();
    router.temperature = 100;
    expect(await chosenRows(router)).toBe(N * E);
    router.temperature = 1e-5;
    expect(await chosenRows(router)).toBe(N);
  });

  test("at evaluation it is a top-1 router", async () => {
    using router = initialized();
    using plain = new TopKRouter(device, { ...sizes, topK: 1 });
    plain.weight.write(await router.weight.read());
    const reads = scope(() =>
      [router, plain]
        .map((one) => one.route(x))
        .flatMap(({ weights, plan }) => [weights.read(), plan.assignmentExpert.read()]),
    );
    const [weights, experts, ...expected] = await Promise.all(reads);
    expect([weights, experts]).toEqual(expected);
  });

  test("draws the same under the same key, and needs one", async () => {
    using router = initialized({ threshold: 0.2, temperature: 0.5 });
    const draw = (seed: number) =>
      scope(() => ({
        weights: router.route(x, undefined, { training: true, key: new RandomKey(seed) }).weights.read(),
      })).weights;
    expect(await draw(1)).toEqual(await draw(1));
    expect(await draw(1)).not.toEqual(await draw(2));
    expect(() => scope(() => void router.route(x, undefined, { training: true }))).toThrow("needs context.key");
  });

  test("a temperature of 0 is an error", () => {
    expect(() => initialized({ temperature: 0 })).toThrow("temperature 0 and threshold 0.001");
  });
});

describe("annealedTemperature", () => {
  test("falls to the minimum and stays there", () => {
    const at = (schedule: "exponential" | "linear", step: number) =>
      annealedTemperature({ schedule, step, decaySteps: 100, maximum: 2, minimum: 0.5 });
    expect([0, 50, 100, 200].map((step) => at("exponential", step))).toEqual([2, 1, 0.5, 0.5]);
    expect([0, 50, 100, 200].map((step) => at("linear", step))).toEqual([2, 1.25, 0.5, 0.5]);
    expect(() => annealedTemperature({ schedule: "linear", step: 0, decaySteps: 0 })).toThrow("step 0 of 0");
  });
});
