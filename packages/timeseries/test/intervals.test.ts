import { ValueError } from "@moebius/runtime/device";
import { RandomKey } from "@moebius/runtime/tensor";
import { describe, expect, test } from "vitest";
import { noisySeason, tinyModel } from "./tiny-model.ts";

describe("intervals", () => {
  test.for([0.5, 0.8])("cover about %d of what comes", async (interval) => {
    using model = await tinyModel({ num_hidden_layers: 1 });
    const [horizon, past, count] = [8, 120, 30];
    const all = Array.from({ length: count }, (_, seed) => noisySeason(past + horizon, 100 + seed));
    const forecasts = await model.forecastMany(
      all.map((series) => series.subarray(0, past)),
      { horizon, interval, context: 32, batchSize: 128 },
    );
    let covered = 0;
    for (const [i, { lower, upper }] of forecasts.entries())
      for (const [h, x] of all[i]?.subarray(past).entries() ?? [])
        if (x >= (lower?.[h] ?? Number.NaN) && x <= (upper?.[h] ?? Number.NaN)) covered++;
    // 240 points that depend on each other within a series: a few times the binomial deviation of 0.03.
    expect(Math.abs(covered / (count * horizon) - interval)).toBeLessThan(0.1);
  });

  test("surround the mean, wider for more coverage", async () => {
    using model = await tinyModel({ num_hidden_layers: 1 });
    const widthOf = async (interval: number) => {
      const { mean, lower, upper } = await model.forecast(noisySeason(80), { horizon: 3, interval, context: 24 });
      expect(mean.every((x, h) => (lower?.[h] ?? x) < x && x < (upper?.[h] ?? x))).toBe(true);
      return (upper?.[0] ?? 0) - (lower?.[0] ?? 0);
    };
    expect(await widthOf(0.95)).toBeGreaterThan(await widthOf(0.5));
  });

  test("grow with the noise of the series", async () => {
    using model = await tinyModel({ num_hidden_layers: 1 });
    const noise = new RandomKey(5).normal(100);
    const series = [1, 10].map((size) => Float64Array.from(noise, (x, t) => Math.sin(t / 2) + size * x));
    const [calm, wild] = await model.forecastMany(series, { horizon: 3, interval: 0.8, context: 24 });
    const width = (forecast: typeof calm) => (forecast?.upper?.[0] ?? 0) - (forecast?.lower?.[0] ?? 0);
    expect(width(wild)).toBeGreaterThan(4 * width(calm));
  });

  test("of a constant series are empty", async () => {
    using model = await tinyModel({ num_hidden_layers: 1 });
    const { lower, upper } = await model.forecast(new Array<number>(40).fill(3), { horizon: 2, interval: 0.9 });
    expect([...(lower ?? []), ...(upper ?? [])]).toEqual([3, 3, 3, 3]);
  });

  test("leave missing values of the past out", async () => {
    using model = await tinyModel({ num_hidden_layers: 1 });
    const series = noisySeason(80);
    series.fill(Number.NaN, 0, 30);
    series[60] = Number.NaN;
    const options = { horizon: 3, interval: 0.8, context: 16 } as const;
    const { lower, upper } = await model.forecast(series, { ...options, missing: "interpolate" });
    expect([...(lower ?? []), ...(upper ?? [])].every(Number.isFinite)).toBe(true);
    series[50] = Number.POSITIVE_INFINITY;
    await expect(model.forecastMany([noisySeason(80), series], { ...options, missing: "interpolate" })).rejects.toThrow(
      "series 1 has Infinity at position 50",
    );
  });

  test("have a progress of their own", async () => {
    using model = await tinyModel({ num_hidden_layers: 1 });
    const stages = new Set<string>();
    await model.forecast(noisySeason(80), {
      horizon: 3,
      interval: 0.8,
      context: 16,
      onProgress: ({ stage }) => stages.add(stage),
    });
    expect([...stages]).toEqual(["forecast", "back-test"]);
  });

  test.for<[number, { horizon: number; interval: number; backtests?: number }, string]>([
    [
      20,
      { horizon: 5, interval: 0.9 },
      "interval of series 0: 20 points are too few to back-test a horizon of 5; give at least 21, or leave the interval out",
    ],
    // 20 points leave the origins 16 to 19: four errors of one step.
    [
      20,
      { horizon: 1, interval: 0.9 },
      "interval of series 0: a coverage of 0.9 needs 9 errors of back-tests, there are 4; lower the interval, give a longer series, or leave the interval out",
    ],
    [80, { horizon: 1, interval: 0 }, "interval must lie between 0 and 1, got 0"],
    [80, { horizon: 1, interval: 1 }, "interval must lie between 0 and 1, got 1"],
    [80, { horizon: 1, interval: 0.5, backtests: 0 }, "backtests must be a positive integer, got 0"],
  ])("%d points with %j are refused", async ([length, options, message]) => {
    using model = await tinyModel({ num_hidden_layers: 1 });
    await expect(model.forecast(noisySeason(length), options)).rejects.toThrow(new ValueError(message));
  });
});
