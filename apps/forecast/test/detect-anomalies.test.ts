import { seasonalNaive } from "@moebius/data";
import { describe, expect, test } from "vitest";
import { backtest } from "../src/backtest.ts";
import { detectAnomalies } from "../src/detect-anomalies.ts";

/** Repeats the last season of 4. */
const model = {
  forecastMany: async (series: readonly ArrayLike<number>[], { horizon }: { horizon: number }) =>
    series.map((values) => ({ mean: seasonalNaive(values, horizon, 4) as Float64Array<ArrayBuffer>, constant: false })),
};
const report = () => {};
const seriesOf = (values: Float64Array) => ({ id: "a", values, filled: 0, filledCells: 0, season: 4 });
/** A season of 4 and a wobble of 0.1 that the model misses at every step. */
const wobbly = (length: number) =>
  Float64Array.from({ length }, (_, t) => 10 * (t % 4) + (Math.floor(t / 4) % 2 === 0 ? 0.1 : 0));

describe("detectAnomalies", () => {
  const options = { horizon: 4, coverage: 0.9, last: undefined, context: undefined, report };

  test("flags a point that its past does not let expect, and the points that it misleads the model about", async () => {
    const values = wobbly(200);
    values[101] = 60; // 10 was to be expected; 4 later the model repeats the 60
    const { anomalies, start, expected } = await detectAnomalies(model, seriesOf(values), options);
    expect(start).toBe(16);
    expect(expected).toHaveLength(184);
    expect(anomalies.map(({ index, value }) => [index, value])).toEqual([
      [101, 60],
      [105, values[105]],
    ]);
    expect(anomalies[0]).toMatchObject({ series: "a", time: 102, upper: expect.closeTo(10.2, 6) });
    expect(anomalies[0]?.score).toBeCloseTo(500, -1); // 50 beyond the expected, the half-width is 0.1
  });

  test("an anomaly does not widen its own interval, even where the history is just long enough", async () => {
    const values = wobbly(30 + 16);
    values[40] = 60;
    const { anomalies } = await detectAnomalies(model, seriesOf(values), options);
    expect(anomalies.map(({ index }) => index)).toContain(40);
  });

  test("judges only the last points when asked", async () => {
    const { start, expected } = await detectAnomalies(model, seriesOf(wobbly(200)), { ...options, last: 50 });
    expect([start, expected.length]).toEqual([150, 50]);
  });

  test("a history too short for the coverage is the user's mistake", async () => {
    await expect(detectAnomalies(model, seriesOf(wobbly(24)), { ...options, coverage: 0.99 })).rejects.toThrow(
      "a: has 8 values to judge after the first 16; a coverage of 0.99 needs at least 104",
    );
  });
});

describe("backtest", () => {
  const input = { source: "a.csv", series: [seriesOf(wobbly(64))] };

  test("scores the end of the series, beside the naive forecasts", async () => {
    const scores = await backtest(model, input, { horizon: 4, count: 3, context: undefined, report });
    expect(scores.map(({ method, windows }) => [method, windows])).toEqual([
      ["model", 3],
      ["seasonal naive", 3],
      ["naive", 3],
    ]);
    expect(scores[0]?.mae).toBeCloseTo(0.1, 9);
    expect(scores[0]).toMatchObject({ mae: scores[1]?.mae, mase: scores[1]?.mase });
    expect(scores[2]?.mae).toBeGreaterThan(10);
  });

  test("takes no more windows than leave two seasons before them", async () => {
    const [score] = await backtest(model, input, { horizon: 4, count: 100, context: undefined, report });
    expect(score?.windows).toBe(13); // ends at 60, 56, … 12: 8 is two seasons, and no more
  });
});
