import { describe, expect, test } from "vitest";
import { normal, truncatedNormal, uniform, xavierNormal, zeros } from "../../src/nn/index.ts";
import { RandomKey } from "../../src/tensor/index.ts";

const key = new RandomKey(5);
const deviation = (values: Float32Array) => Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);

describe("initializers", () => {
  test("truncatedNormal stays within two deviations, and is as wide as what is left of the bell", () => {
    const values = truncatedNormal(0.3)(key, [100, 200]);
    expect(Math.max(...values.map(Math.abs))).toBeLessThanOrEqual(0.6);
    expect(Math.max(...values.map(Math.abs))).toBeGreaterThan(0.59);
    expect(deviation(values) / 0.3).toBeCloseTo(0.88, 2); // of a standard normal cut at ±2: 0.8796
    expect(truncatedNormal(0.3)(key, [100, 200])).toEqual(values);
  });

  test("xavierNormal's variance is 2 over the last two lengths, whatever comes before them", () => {
    for (const shape of [
      [60, 240],
      [3, 60, 240],
    ])
      expect(deviation(xavierNormal(key, shape)) / Math.sqrt(2 / 300)).toBeCloseTo(1, 1);
  });

  test("normal and uniform have the given width, zeros none", () => {
    expect(deviation(normal(2)(key, [5000])) / 2).toBeCloseTo(1, 1);
    expect(deviation(uniform(3)(key, [5000]))).toBeCloseTo(Math.sqrt(3), 1);
    expect(deviation(zeros(key, [7]))).toBe(0);
  });
});
