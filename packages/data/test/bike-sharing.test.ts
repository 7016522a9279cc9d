import { expect, test } from "vitest";
import {
  bikeSharingPath,
  mae,
  measureScale,
  mse,
  naive,
  readTable,
  seasonalNaive,
  seriesFromTable,
  slidingWindows,
  splitBorders,
  standardise,
} from "../src/index.ts";

const COLUMNS = { columns: ["cnt"], timeColumn: "dteday", hourColumn: "hr" };

test("the bundled data set: 17,379 rows, 165 missing hours", async () => {
  const table = await readTable(bikeSharingPath);
  expect(table.rowCount).toBe(17_379);
  expect(table.columns).toHaveLength(17);
  expect(() => seriesFromTable(table, COLUMNS)).toThrow(
    /hour\.csv\.gz, line 31, column "dteday": a time is missing before this row: 2011-01-02 05:00, after 2011-01-02 04:00 \(line 30\); 165 of 17544 are missing at one hour a row/,
  );
  const [series] = seriesFromTable(table, { ...COLUMNS, gaps: "zero" });
  expect(series?.values).toHaveLength(17_544);
  expect(series?.filled).toBe(165);
});

test("the naive forecasts' errors are those of the protocol", async () => {
  const [series] = seriesFromTable(await readTable(bikeSharingPath), { ...COLUMNS, gaps: "zero" });
  if (!series) throw new Error("no series");
  const { train, test: range } = splitBorders(series.values.length);
  const values = standardise(series.values, measureScale(series.values, ...train));
  const errors = (horizon: number, forecast: (history: Float64Array) => Float64Array) => {
    const windows = slidingWindows([values.length], { context: 336, horizon, range });
    let [squares, absolutes] = [0, 0];
    for (let i = 0; i < windows.count; i++) {
      const { start } = windows.at(i);
      const future = values.subarray(start + 336, start + 336 + horizon);
      const predicted = forecast(values.subarray(start, start + 336));
      squares += mse(predicted, future);
      absolutes += mae(predicted, future);
    }
    return [squares / windows.count, absolutes / windows.count].map((error) => error.toFixed(4));
  };
  expect(errors(24, (history) => seasonalNaive(history, 24, 168))).toEqual(["0.7957", "0.5067"]);
  expect(errors(24, (history) => seasonalNaive(history, 24, 24))).toEqual(["0.9955", "0.5935"]);
  expect(errors(24, (history) => naive(history, 24))).toEqual(["4.8240", "1.6645"]);
  expect(errors(96, (history) => seasonalNaive(history, 96, 168))).toEqual(["0.8079", "0.5125"]);
});
