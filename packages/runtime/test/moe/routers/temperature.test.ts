import { testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { TemperatureRouter, type TemperatureRouterOptions } from "../../../src/moe/index.ts";
import { sum, Tape } from "../../../src/ops/index.ts";
import { RandomKey, scope, tensor } from "../../../src/tensor/index.ts";
import { times } from "../layer-reference.ts";
import { checkContract, checkRouterLayer, falling, routed, softmaxOf } from "./router-checks.ts";

const device = await testDevice();
const key = new RandomKey(2);
const [N, H, E] = [7, 4, 5];
const sizes = { hiddenSize: H, numExperts: E };
const ACTIVATIONS = {
  none: (x: number) => x,
  tanh: Math.tanh,
  sigmoid: (x: number) => 1 / (1 + Math.exp(-x)),
} as const;

describe("TemperatureRouter", () => {
  test("keeps the contract of routers", async () => {
    await checkContract((options) => new TemperatureRouter(device, { ...options, temperature: 0.5 }), key);
  });

  test.each(["none", "tanh", "sigmoid"] as const)(
    "a layer with %s has the values and gradients of float64",
    async (activation) => {
      await checkRouterLayer({
        router: new TemperatureRouter(device, { ...sizes, activation, topK: 3 }),
        numTokens: N,
        spread: 1,
        reference: {
          scores: (tokens, weights) => {
            const [bias, log] = [weights.get("bias"), weights.get("log_temperature")?.[0] as number];
            return tokens.map((token) =>
              times(weights.get("weight") ?? [], 0, E, token).map(
                (l, e) => (ACTIVATIONS[activation](l) + (bias?.[e] as number)) / Math.exp(log),
              ),
            );
          },
          choose: (scores) => scores.map((row) => falling(row).slice(0, 3)),
          weigh: softmaxOf,
        },
      });
    },
  );

  test("without an activation, weights, biases and temperature may grow together unseen; with one they may not", async () => {
    const x = uniformArray(N * H, 3);
    const probsOf = async (activation: NonNullable<TemperatureRouterOptions["activation"]>, factor: number) => {
      using router = new TemperatureRouter(device, { ...sizes, activation }).initialize(key);
      router.weight.write(Float32Array.from(uniformArray(E * H, 5), (w) => factor * w));
      router.setTemperature(factor);
      return (await routed(router, x)).probs;
    };
    for (const [i, p] of (await probsOf("none", 3)).entries())
      expect(p).toBeCloseTo((await probsOf("none", 1))[i] as number, 5);
    const [one, three] = [await probsOf("tanh", 1), await probsOf("tanh", 3)];
    expect(Math.max(...one.map((p, i) => Math.abs(p - (three[i] as number))))).toBeGreaterThan(0.01);
  });

  test("the temperature is learned, or set", async () => {
    using router = new TemperatureRouter(device, { ...sizes, topK: 1 }).initialize(key);
    router.weight.write(Float32Array.from(uniformArray(E * H, 5)));
    const { gradient } = scope(() => {
      const tape = new Tape([router.logTemperature]);
      const x = tensor(device, Float32Array.from(uniformArray(N * H, 3)), [N, H]);
      const loss = tape.run(() => sum(router.route(x).weights));
      return { gradient: tape.backward(loss).get(router.logTemperature)?.read() };
    });
    expect((await gradient)?.[0]).toBeLessThan(0); // a cooler gate is surer
    using fixed = new TemperatureRouter(device, { ...sizes, learnsTemperature: false });
    expect(fixed.trainableParameters().has("log_temperature")).toBe(false);
    expect(() => fixed.setTemperature(0)).toThrow("temperature is 0");
  });
});
