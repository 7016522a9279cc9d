import { RandomKey } from "@moebius/runtime/tensor";
import { normalisationOf, syntheticSeries } from "@moebius/timeseries";
import { describe, expect, test } from "vitest";

const draw = (seed: number, length = 256) => syntheticSeries(new RandomKey(seed), length);
const many = Array.from({ length: 300 }, (_, seed) => draw(seed));

/** Correlation of a series with itself, `lag` points later. */
function autocorrelation(values: Float64Array, lag: number): number {
  const { mean } = normalisationOf(values, 0);
  let [own, shifted] = [0, 0];
  for (const [t, x] of values.entries()) {
    own += (x - mean) ** 2;
    if (t >= lag) shifted += (x - mean) * ((values[t - lag] as number) - mean);
  }
  return shifted / own;
}

describe("syntheticSeries", () => {
  test("the same key gives the same series, another key another", () => {
    expect(draw(1)).toEqual(draw(1));
    expect(draw(2)).not.toEqual(draw(1));
  });

  test("every value is finite and none is constant", () => {
    expect(many.every((values) => values.every(Number.isFinite))).toBe(true);
    expect(many.every((values) => normalisationOf(values, 0).standardDeviation > 0)).toBe(true);
  });

  test.for([1, 2, 1000])("any length is possible: %d", (length) => {
    const values = draw(3, length);
    expect(values).toHaveLength(length);
    expect(values.every(Number.isFinite)).toBe(true);
  });

  test("smooth, noisy and seasonal ones all occur", () => {
    const neighbours = many.map((values) => autocorrelation(values, 1));
    const share = (test: (x: number) => boolean) => neighbours.filter(test).length / many.length;
    expect(share((x) => x > 0.9)).toBeGreaterThan(0.1);
    expect(share((x) => x < 0.5)).toBeGreaterThan(0.05);
    const daily = many.filter((values) => autocorrelation(values, 24) > autocorrelation(values, 12) + 0.5);
    expect(daily.length / many.length).toBeGreaterThan(0.03);
  });
});
