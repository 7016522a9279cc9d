import { bikeSharingPath, mae, mse, readTable, seriesFromTable, smape } from "@moebius/data";
import { ValueError } from "@moebius/runtime/device";
import { evaluate } from "@moebius/timeseries";
import { describe, expect, test } from "vitest";
import { noisySeason, tinyModel } from "./tiny-model.ts";

describe("evaluate", () => {
  test("the scores of the model are those of its forecasts, one by one", async () => {
    using model = await tinyModel();
    const series = [noisySeason(40, 1), noisySeason(30, 2)];
    const result = await evaluate(model, series, { horizon: 5, context: 20, stride: 3 });
    const scores = { mse: 0, mae: 0, smape: 0 };
    let windows = 0;
    for (const values of series)
      for (let end = 20; end + 5 <= values.length; end += 3) {
        const { mean } = await model.forecast(values.subarray(end - 20, end), { horizon: 5 });
        const actual = values.subarray(end, end + 5);
        scores.mse += mse(mean, actual);
        scores.mae += mae(mean, actual);
        scores.smape += smape(mean, actual);
        windows++;
      }
    expect(result).toMatchObject({ horizon: 5, windows });
    for (const name of ["mse", "mae", "smape"] as const)
      expect(result.model[name]).toBeCloseTo(scores[name] / windows, 3);
  });

  test("naive forecasts of a perfect season", async () => {
    using model = await tinyModel();
    const season = [1, 5, 2, 8];
    const values = Array.from({ length: 40 }, (_, t) => season[t % 4] as number);
    const result = await evaluate(model, [values], { horizon: 4, context: 12, season: 4 });
    expect(result.seasonalNaive).toMatchObject({ mse: 0, mae: 0, smape: 0, mase: 0 });
    // Repeating 1, 5, 2 or 8 costs 16.5, 8.5, 11.5 or 23.5; of 25 windows 7 end with 8.
    expect(result.naive.mse).toBeCloseTo((6 * (16.5 + 8.5 + 11.5) + 7 * 23.5) / 25, 6);
    expect(result.windows).toBe(25);
  });

  test("the naive rows of the bike-sharing protocol", async () => {
    const table = await readTable(bikeSharingPath);
    const [count] = seriesFromTable(table, { columns: ["cnt"], timeColumn: "dteday", hourColumn: "hr", gaps: "zero" });
    const train = count?.values.subarray(0, 10_526) ?? new Float64Array();
    const mean = train.reduce((a, b) => a + b) / train.length;
    const deviation = Math.sqrt(train.reduce((sum, x) => sum + (x - mean) ** 2, 0) / train.length);
    const values = count?.values.map((x) => (x - mean) / deviation) ?? [];
    using model = await tinyModel({ hidden_size: 4, num_hidden_layers: 1, num_experts: 2, horizon_lengths: [24] });
    // Only the windows' place matters to the naive forecasts, so the model reads a day and not the protocol's two weeks.
    const result = await evaluate(model, [values], {
      horizon: 24,
      context: 24,
      range: [14_035, 17_544],
      season: 24,
      batchSize: 256,
    });
    expect(result.windows).toBe(3486);
    expect(result.seasonalNaive.mse).toBeCloseTo(0.9955, 4);
    expect(result.seasonalNaive.mae).toBeCloseTo(0.5935, 4);
    expect(result.naive.mse).toBeCloseTo(4.824, 4);
    expect(result.naive.mae).toBeCloseTo(1.6645, 4);
    expect(result.seasonalNaive.mase).toBeNaN(); // no context is longer than the season
  });

  test("missing values are bridged in the context and not scored", async () => {
    using model = await tinyModel();
    const values = Array.from({ length: 30 }, (_, t) => t % 4);
    const gapped = values.map((x, t) => (t === 9 || t === 21 ? Number.NaN : x));
    const options = { horizon: 2, context: 12, season: 4, missing: "interpolate" } as const;
    const result = await evaluate(model, [gapped], options);
    expect(Object.values(result.model).every(Number.isFinite)).toBe(true);
    expect(result.windows).toBe(17);
    const long = values.map((x, t) => (t >= 12 && t < 26 ? Number.NaN : x));
    // Horizons from 12 to 24 lie wholly in the gap, contexts up to 25 and 26 too: 27 and 28 are left.
    expect((await evaluate(model, [long], options)).windows).toBe(2);
  });

  test("a value that cannot be used is named by series and position", async () => {
    using model = await tinyModel();
    const values = noisySeason(40);
    values[17] = Number.NaN;
    const evaluation = evaluate(model, [noisySeason(40), values], { horizon: 5, context: 10 });
    await expect(evaluation).rejects.toThrow("series 1 has NaN at position 17");
  });

  test.for([
    [{ horizon: 5, context: 50 }, "evaluate: no series has 50 points of context and 5 to score"],
    [{ horizon: 5, context: 9, range: [38, 40] }, "9 points of context and 5 to score in rows 38 to 40"],
    [{ horizon: 5, context: 9, stride: 0 }, "stride must be a positive integer, got 0"],
    [{ horizon: 5, context: 9, season: 0 }, "season must be a positive integer, got 0"],
    [{ horizon: 0, context: 9 }, "horizon must be a positive integer, got 0"],
  ] as const)("%j is refused", async ([options, message]) => {
    using model = await tinyModel();
    const evaluation = evaluate(model, [noisySeason(40)], options);
    await expect(evaluation).rejects.toThrow(ValueError);
    await expect(evaluation).rejects.toThrow(message);
  });

  test("says how far it is", async () => {
    using model = await tinyModel();
    const events: unknown[] = [];
    await evaluate(model, [noisySeason(40)], {
      horizon: 5,
      context: 9,
      onProgress: (event) => events.push(event),
    });
    expect(events).toEqual([{ stage: "forecast", done: 27, total: 27 }]);
  });
});
