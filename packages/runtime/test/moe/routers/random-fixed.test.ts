import { testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { numActiveExperts, RandomFixedRouter } from "../../../src/moe/index.ts";
import { RandomKey, scope, tensor } from "../../../src/tensor/index.ts";
import { softmax, times } from "../layer-reference.ts";
import { checkContract, checkRouterLayer, falling } from "./router-checks.ts";

const device = await testDevice();

const [N, H, E] = [11, 5, 4];

describe("RandomFixedRouter", () => {
  test("keeps the contract of routers", async () => {
    await checkContract((sizes) => new RandomFixedRouter(device, sizes), new RandomKey(5));
  });

  test.each([1, 2, 4])("a layer with %i active experts has the values and gradients of float64", async (k) => {
    const router = new RandomFixedRouter(device, { hiddenSize: H, numExperts: E, topK: 1 });
    router.numActive = k;
    await checkRouterLayer({
      router,
      numTokens: N,
      reference: {
        scores: (tokens, weights) =>
          tokens.map((token) =>
            times(weights.get("weight") ?? [], 0, E, token).map((l, e) => l + (weights.get("bias")?.[e] ?? 0)),
          ),
        choose: (rows) => rows.map((row) => falling(row).slice(0, k)),
        weigh: (row, experts) => softmax(experts.map((e) => row[e] as number)),
      },
    });
  });

  test("its parameters are frozen, and within 1 / √H at first", async () => {
    using router = new RandomFixedRouter(device, { hiddenSize: H, numExperts: E, topK: 2 }).initialize(
      new RandomKey(1),
    );
    expect(router.trainableParameters().size).toBe(0);
    for (const parameter of router.parameters().values())
      for (const value of await parameter.read()) expect(Math.abs(value)).toBeLessThanOrEqual(1 / Math.sqrt(H));
  });

  test("one active expert has the weight 1", async () => {
    using router = new RandomFixedRouter(device, { hiddenSize: H, numExperts: E, topK: 1 }).initialize(
      new RandomKey(1),
    );
    const x = tensor(device, Float32Array.from(uniformArray(N * H, 2)), [N, H]);
    expect([...(await scope(() => router.route(x).weights).read())]).toEqual(new Array(N).fill(1));
  });

  test.each([0, 5, 1.5])("%f active experts of four are an error", (k) => {
    using router = new RandomFixedRouter(device, { hiddenSize: H, numExperts: E, topK: 1 });
    expect(() => {
      router.numActive = k;
    }).toThrow(`numActive is ${k}, expected 1 to 4`);
  });
});

describe("numActiveExperts", () => {
  const at = (schedule: Parameters<typeof numActiveExperts>[0]["schedule"], step: number) =>
    numActiveExperts({ schedule, step, totalSteps: 100, minimum: 2, maximum: 16 });

  test("goes from one end to the other", () => {
    expect([0, 50, 100].map((step) => at("linear-increase", step))).toEqual([2, 9, 16]);
    expect([0, 50, 100].map((step) => at("linear-decrease", step))).toEqual([16, 9, 2]);
    expect([0, 100].map((step) => at("cosine-increase", step))).toEqual([2, 16]);
    expect([0, 100].map((step) => at("cosine-decrease", step))).toEqual([16, 2]);
    expect(at("exponential-increase", 0)).toBe(2);
    expect(at("exponential-increase", 1000)).toBe(16);
  });

  test("a half is rounded to the even number, and no k leaves the range", () => {
    const half = (step: number) =>
      numActiveExperts({ schedule: "linear-increase", step, totalSteps: 4, minimum: 1, maximum: 3 });
    expect([0, 1, 2, 3, 4, 9].map(half)).toEqual([1, 1, 2, 3, 3, 3]); // 0.5 to 0, 1.5 to 2
  });

  test("a range that is none is an error", () => {
    expect(() =>
      numActiveExperts({ schedule: "linear-increase", step: 0, totalSteps: 4, minimum: 3, maximum: 2 }),
    ).toThrow("step 0 of 4 with 3 to 2 experts");
  });
});
