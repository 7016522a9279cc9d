import { rm } from "node:fs/promises";
import { bikeSharingPath } from "@moebius/data";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Fill } from "../src/options.ts";
import { describeInput, describeSeries, readSeries } from "../src/read-series.ts";
import { days, fileOf, temporaryFolder } from "./run-forecast.ts";

let folder: string;
beforeAll(async () => {
  folder = await temporaryFolder();
});
afterAll(() => rm(folder, { recursive: true }));

const strict = { fill: "error" as Fill, missing: "error" as Fill };
const read = async (text: string | Uint8Array, options = {}) =>
  readSeries(await fileOf(folder, "data.csv", text), { ...strict, ...options });

describe("readSeries", () => {
  test("finds the only time and the only numeric column", async () => {
    const { series } = await read(days(40, (day) => day));
    expect(series).toHaveLength(1);
    expect(series[0]).toMatchObject({ id: "sold", season: 7, filled: 0 });
    expect(series.map(describeSeries)).toEqual(["sold: 40 values, one a day, 2024-01-01 to 2024-02-09"]);
  });

  test("a year is a time where the column is called so, and rows without times are taken in order", async () => {
    const { series } = await read("year,v\n2001,5\n2002,6\n2003,7\n");
    expect(series.map(describeSeries)).toEqual(["v: 3 values, one a year, 2001-01-01 to 2003-01-01"]);
    const { series: plain } = await read("v\n5\n6\n7\n", { season: 3 });
    expect(plain[0]).toMatchObject({ season: 3, values: Float64Array.of(5, 6, 7) });
    expect(plain.map(describeSeries)).toEqual(["v: 3 values, in order"]);
  });

  test("several ids are several series", async () => {
    const rows = Array.from(
      { length: 60 },
      (_, row) => `2024-01-${String(1 + Math.floor(row / 6)).padStart(2, "0")},s${row % 6},${row}\n`,
    );
    const input = await read(`day,store,sold\n${rows.join("")}`, { idColumn: "store" });
    expect(input.series.map(({ id, values }) => [id, values.length])).toContainEqual(["s5", 10]);
    expect(describeInput(input)).toMatch(/data\.csv: 6 series of 10 values$/);
  });

  test("the bundled bike-sharing hours, with their gaps filled", async () => {
    const columns = { column: ["cnt"], timeColumn: "dteday", hourColumn: "hr" };
    const { series } = await readSeries(bikeSharingPath, { ...strict, ...columns, fill: "zero" });
    expect(series.map(describeSeries)).toEqual([
      "cnt: 17544 values, one an hour, 2011-01-01 to 2012-12-31 23:00; 165 missing times filled",
    ]);
  });

  test("empty cells are filled only when asked for, and said", async () => {
    const text = days(10, (day) => (day === 4 ? "" : day));
    await expect(read(text)).rejects.toThrow(/line 6, column "sold": the cell is empty.*--missing zero, previous/);
    const { series } = await read(text, { missing: "interpolate" });
    expect(series[0]?.values[4]).toBe(4);
    expect(series.map(describeSeries)[0]).toContain("; 1 empty cell filled");
  });

  const rows = (...lines: string[]) => `day,v\n${lines.map((line) => `2024-01-${line}\n`).join("")}`;
  test.each([
    ["a missing column", rows("01,1", "02,2"), { column: ["w"] }, /there is no column "w"; the columns are day, v/],
    ["a text cell", rows("01,1", "02,2", "03,3", "04,n/a", "05,5", "06,6"), {}, /line 5, column "v": found "n\/a"/],
    ["infinity", rows("01,1", "02,2", "03,3", "04,Infinity", "05,5", "06,6"), {}, /line 5, .*expected a finite number/],
    ["unsorted times", rows("02,1", "01,2"), {}, /line 3, .*sort the rows by time/],
    ["a time twice", rows("01,1", "01,2"), {}, /line 3, .*--id-column, or --hour-column/],
    ["a gap", rows("01,1", "02,2", "04,3"), {}, /line 4, .*2024-01-03.*--fill zero, previous or interpolate/],
    ["an empty file", "", {}, /is empty/],
    ["binary data", Uint8Array.of(0, 1, 2, 255), {}, /binary data/],
    ["two numeric columns", "a,b\n1,2\n3,4\n", {}, /choose with --column among a, b/],
    ["two time columns", "a,b,v\n2024-01-01,2024-01-01,1\n", {}, /the columns a, b hold times; .*--time-column/],
    ["no numeric column", "a\nx\ny\n", {}, /no column holds numbers/],
  ])("%s is named with its remedy", async (_, text, options, message) => {
    await expect(read(text, options)).rejects.toThrow(message);
  });
});
