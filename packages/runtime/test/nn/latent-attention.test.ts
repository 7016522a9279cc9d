import { testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { KvCache } from "../../src/decode/index.ts";
import { LatentAttention } from "../../src/nn/index.ts";
import { concat, rotaryFrequencies, rotaryTables, slice } from "../../src/ops/index.ts";
import { RandomKey, scope, tensor } from "../../src/tensor/index.ts";

const device = await testDevice();

describe("LatentAttention", () => {
  test("decoding with a cache gives what the whole sequence gives", async () => {
    const [B, T, H, A] = [2, 5, 6, 2];
    const sizes = { plainHeadDim: 3, rotaryHeadDim: 2, valueHeadDim: 4 };
    using layer = new LatentAttention(device, { hiddenSize: H, numHeads: A, queryRank: 4, keyValueRank: 5, ...sizes });
    layer.initialize(new RandomKey(2));
    using cache = new KvCache(device, { numLayers: 1, batchSize: B, capacity: T, numKeyValueHeads: A, headDim: 5 });
    const { whole, parts } = scope(() => {
      const x = tensor(device, Float32Array.from(uniformArray(B * T * H, 1)), [B, T, H]);
      const tables = rotaryTables(device, { maxPositions: T, dim: 2 });
      const whole = layer.forward(x, tables).read();
      const steps = [
        [0, 3],
        [3, 1],
        [4, 1],
      ] as const;
      const parts = steps.map(([at, length]) =>
        layer.forward(slice(x, 1, at, length), { ...tables, cache: cache.layer(0) }),
      );
      return { whole, parts: concat(parts, 1).read() };
    });
    const expected = await whole;
    expect(expected.some((v) => Math.abs(v) > 1e-6)).toBe(true);
    for (const [i, value] of (await parts).entries()) expect(value).toBeCloseTo(expected[i] as number, 6);
  });

  test("values wider than keys are refused", () => {
    const sizes = { hiddenSize: 4, numHeads: 1, keyValueRank: 2, plainHeadDim: 1, rotaryHeadDim: 2, valueHeadDim: 4 };
    expect(() => new LatentAttention(device, sizes)).toThrow("its 4 values at most its 3 query elements");
  });
});

describe("YaRN", () => {
  // Peng et al. 2023, arXiv:2309.00071, with the published settings of gpt-oss and DeepSeek-V3.
  test.each([
    [
      { theta: 150_000, yarn: { factor: 32, originalPositions: 4096, truncate: false } },
      { 8: 0.050813275, 9: 0.031705696, 12: 0.0067949595, 15: 0.0010526021, 17: 0.0001293187, 18: 3.8308812e-5 },
    ],
    [
      { theta: 10_000, yarn: { factor: 40, originalPositions: 4096 } },
      { 12: 0.02687936, 15: 0.008334509, 18: 0.0022493653, 20: 0.00079056942, 23: 3.3338036e-5 },
    ],
  ])("%o", (options, expected) => {
    const frequencies = rotaryFrequencies({ dim: 64, ...options });
    for (const [pair, frequency] of Object.entries(expected))
      expect(Math.abs((frequencies[Number(pair)] as number) / frequency - 1)).toBeLessThan(1e-6);
  });

  test("multiplies cosines by the magnitude for the stretch", async () => {
    const yarn = { factor: 4, originalPositions: 16 };
    const { cos } = scope(() => ({ cos: rotaryTables(device, { maxPositions: 1, dim: 4, yarn }).cos.read() }));
    expect((await cos)[0]).toBeCloseTo(0.1 * Math.log(4) + 1, 6);
  });
});
