import { describe, expect, test } from "vitest";
import { formatTime, futureTimestamps, type GapPolicy, readCsv, seriesFromTable, timestampsOf } from "../src/index.ts";

const daily = async (rows: string, gaps: GapPolicy = "error") =>
  seriesFromTable(await readCsv(`day,v\n${rows}`, "a.csv"), {
    columns: ["v"],
    timeColumn: "day",
    gaps,
  })[0] as ReturnType<typeof seriesFromTable>[0];
const GAP = "2011-01-01,1\n2011-01-02,2\n2011-01-05,8\n2011-01-06,9\n";

describe("seriesFromTable", () => {
  test("stamps of the past and of a horizon", async () => {
    const series = await daily("2011-01-30,1\n2011-01-31,2\n");
    expect(series.frequency).toEqual({ unit: "day", step: 1 });
    expect(Array.from(timestampsOf(series) ?? [], formatTime)).toEqual(["2011-01-30", "2011-01-31"]);
    expect(Array.from(futureTimestamps(series, 2) ?? [], formatTime)).toEqual(["2011-02-01", "2011-02-02"]);
  });
  test.each([
    ["zero", [1, 2, 0, 0, 8, 9]],
    ["previous", [1, 2, 2, 2, 8, 9]],
    ["interpolate", [1, 2, 4, 6, 8, 9]],
    ["nan", [1, 2, Number.NaN, Number.NaN, 8, 9]],
  ] as const)("gaps are filled: %s", async (gaps, values) => {
    const series = await daily(GAP, gaps);
    expect([...series.values]).toEqual(values);
    expect(series.filled).toBe(2);
  });
  test("a gap", () =>
    expect(daily(GAP)).rejects.toThrow(
      'a.csv, line 4, column "day": a time is missing before this row: 2011-01-03, after 2011-01-02 (line 3); 2 of 6 are missing at one day a row; ' +
        "add the rows, or have the gaps filled (option gaps)",
    ));
  test("unsorted times", () =>
    expect(daily("2011-01-02,1\n2011-01-01,2\n")).rejects.toThrow(
      'a.csv, line 3, column "day": 2011-01-01 comes after 2011-01-02 (line 2); sort the rows by time',
    ));
  test("a time given twice", () =>
    expect(daily("2011-01-01,1\n2011-01-01,2\n")).rejects.toThrow(
      'a.csv, line 3, column "day": 2011-01-01 was already given in line 2; keep one row a time',
    ));
  test("a time between two steps", () =>
    expect(
      daily("2011-01-01,1\n2011-01-02,1\n2011-01-02 05:00,1\n2011-01-03,1\n2011-01-04,1\n", "zero"),
    ).rejects.toThrow(
      'a.csv, line 4, column "day": 2011-01-02 05:00 lies between two steps: most rows are one day apart',
    ));
  test("one wrong stamp is not a gap of decades", () =>
    expect(daily("1970-01-01,1\n2011-01-01,1\n2011-01-02,1\n2011-01-03,1\n", "zero")).rejects.toThrow(
      /line 3, .* too far for 4 rows; correct the time/,
    ));
  test("no time", () =>
    expect(daily("monday,1\n")).rejects.toThrow(
      'a.csv, line 2, column "day": found "monday", expected a time; write ISO dates',
    ));
  test("a single row", () => expect(daily("2011-01-01,1\n")).rejects.toThrow("a single row has no frequency"));

  test("a date and an hour column", async () => {
    const read = async (hour: string) =>
      seriesFromTable(await readCsv(`d,h,v\n2011-01-01,23,1\n2011-01-02,${hour},2\n`, "a.csv"), {
        columns: ["v"],
        timeColumn: "d",
        hourColumn: "h",
      });
    expect((await read("0"))[0]?.frequency).toEqual({ unit: "hour", step: 1 });
    await expect(read("24")).rejects.toThrow('a.csv, line 3, column "h": found 24, expected an hour from 0 to 23');
  });
  test("rows of several ids may alternate, and each has its own times", async () => {
    const table = await readCsv(
      "id,t,v,w\na,2011-01-01,1,5\nb,2012-01,2,6\na,2011-01-02,3,7\nb,2012-02,4,8\n",
      "a.csv",
    );
    const series = seriesFromTable(table, { columns: ["v", "w"], idColumn: "id", timeColumn: "t" });
    expect(series.map(({ id, values, frequency }) => [id, [...values], frequency?.unit])).toEqual([
      ["a/v", [1, 3], "day"],
      ["a/w", [5, 7], "day"],
      ["b/v", [2, 4], "month"],
      ["b/w", [6, 8], "month"],
    ]);
  });
  test("without a time column rows are in order", async () => {
    const [series] = seriesFromTable(await readCsv("v\n1\n2\n", "a.csv"), { columns: ["v"] });
    expect(series).toEqual({ id: "v", values: Float64Array.of(1, 2), filled: 0 });
  });
});
