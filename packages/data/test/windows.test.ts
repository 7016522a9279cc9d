import { describe, expect, test } from "vitest";
import { measureScale, slidingWindows, splitBorders, standardise, windowBatches } from "../src/index.ts";
import { shuffledIndex } from "../src/permutation.ts";

describe("measureScale", () => {
  test("mean and population deviation, without missing values", () =>
    expect(measureScale(Float64Array.of(1, Number.NaN, 3))).toEqual({ mean: 2, deviation: 1 }));
  test("a constant series is scaled to zeros", () => {
    const values = new Float64Array(7).fill(0.1);
    const scaled = standardise(values, measureScale(values));
    expect(Math.max(...scaled.map(Math.abs))).toBeLessThan(1e-12);
  });
});

test("split borders are rounded down", () =>
  expect(splitBorders(17_544)).toEqual({ train: [0, 10_526], validation: [10_526, 14_035], test: [14_035, 17_544] }));

describe("slidingWindows", () => {
  test("windows of several series, none across two", () => {
    const windows = slidingWindows([5, 2, 4], { context: 2, horizon: 1 });
    expect(Array.from({ length: windows.count }, (_, i) => Object.values(windows.at(i)))).toEqual([
      [0, 0],
      [0, 1],
      [0, 2],
      [2, 0],
      [2, 1],
    ]);
    expect(() => windows.at(5)).toThrow("need 0 ≤ index < 5");
  });
  test("horizons lie in the range, contexts may begin before it", () => {
    const windows = slidingWindows([10], { context: 4, horizon: 2, stride: 2, range: [6, 10] });
    expect(Array.from({ length: windows.count }, (_, i) => windows.at(i).start)).toEqual([2, 4]);
  });
});

describe("shuffledIndex", () => {
  test.each([1, 2, 5, 64, 1000])("visits each of %d once", (count) => {
    const order = Array.from({ length: count }, (_, i) => shuffledIndex(i, count, 7, 3));
    expect(new Set(order).size).toBe(count);
    expect(Math.max(...order)).toBe(count - 1);
  });
  test("seed and epoch change the order; neighbours are not left together", () => {
    const order = (seed: number, epoch: number) =>
      Array.from({ length: 1000 }, (_, i) => shuffledIndex(i, 1000, seed, epoch));
    expect(order(1, 0)).not.toEqual(order(2, 0));
    expect(order(1, 0)).not.toEqual(order(1, 1));
    expect(order(1, 0).filter((value, i, all) => Math.abs(value - (all[i + 1] ?? 5000)) === 1).length).toBeLessThan(15);
  });
});

describe("windowBatches", () => {
  const series = [
    { values: Float64Array.from({ length: 20 }, (_, i) => i) },
    { values: Float64Array.of(100, Number.NaN, 102) },
  ];
  const options = { series, length: 5, batchSize: 4, seed: 11 };

  test("an epoch has every window once", () => {
    const batches = windowBatches(options);
    expect(batches.windowCount).toBe(17); // 16 of the long series, the short one padded
    const seen = Array.from({ length: 17 }, () => batches.next()).flatMap(({ seriesIndex, start }) =>
      [...start].map((at, b) => `${seriesIndex[b]}:${at}`),
    );
    for (let epoch = 0; epoch < 4; epoch++) expect(new Set(seen.slice(epoch * 17, epoch * 17 + 17)).size).toBe(17);
  });
  test("a short series is padded at the left, missing values are masked", () => {
    const { values, mask, start } = windowBatches({ series: series.slice(1), length: 5, batchSize: 1, seed: 1 }).next();
    expect([...values]).toEqual([0, 0, 100, 0, 102]);
    expect([...mask]).toEqual([0, 0, 1, 0, 1]);
    expect(start[0]).toBe(-2);
  });
  test("resumes with the same batches at any step", () => {
    const all = windowBatches(options);
    const states = Array.from({ length: 12 }, () => ({ state: JSON.stringify(all.state()), batch: all.next() }));
    for (const { state, batch } of states) {
      const resumed = windowBatches(options);
      resumed.restore(JSON.parse(state));
      expect(resumed.next()).toEqual(batch);
    }
  });
  test("a state of other data is refused", () =>
    expect(() => windowBatches({ ...options, length: 6 }).restore(windowBatches(options).state())).toThrow(
      /resume with the same data/,
    ));
  test("no values", () =>
    expect(() => windowBatches({ ...options, series: [] })).toThrow("the 0 series hold no value"));
});
