import { describe, expect, test } from "vitest";
import { numericColumn, readCsv } from "../src/index.ts";

const parse = async (cell: string, missing: "error" | "nan" = "error") =>
  numericColumn(await readCsv(`day,cnt\n1,5\n2,${cell}\n`, "a.csv"), "cnt", { missing })[1];

describe("numericColumn", () => {
  test.each([
    ["16", 16],
    ["-0.5", -0.5],
    ["+1", 1],
    ["1.50", 1.5],
    [".5", 0.5],
    ["5.", 5],
    ["1e3", 1000],
    ["2E-3", 0.002],
    ['" 7 "', undefined],
  ])("%s", async (cell, value) => {
    if (value === undefined) await expect(parse(cell)).rejects.toThrow("expected a number");
    else expect(await parse(cell)).toBe(value);
  });
  test("text", () =>
    expect(parse("high")).rejects.toThrow(
      'a.csv, line 3, column "cnt": found "high", expected a number; correct the cell, leave it empty for a missing value, or choose another column',
    ));
  test.each(["Infinity", "-inf", "1e999"])("%s is not finite", (cell) =>
    expect(parse(cell)).rejects.toThrow(`a.csv, line 3, column "cnt": found "${cell}", expected a finite number`),
  );
  test.each(["0x10", "1_000", "NaN", "1 2", "--1"])("%s is no number", (cell) =>
    expect(parse(cell)).rejects.toThrow(`found "${cell}", expected a number`),
  );
  test("a decimal comma", () =>
    expect(parse('"1,5"')).rejects.toThrow('found "1,5", expected a number with a decimal point'));
  test("an empty cell is an error, or NaN when asked for", async () => {
    await expect(parse("")).rejects.toThrow(
      'a.csv, line 3, column "cnt": the cell is empty, expected a number; fill it in, or allow missing values (option missing)',
    );
    expect(await parse("", "nan")).toBeNaN();
  });
  test("a column that is not there", async () => {
    const table = await readCsv("dteday,cnt\n1,2\n", "a.csv");
    expect(() => numericColumn(table, "count")).toThrow(
      'a.csv: there is no column "count"; the columns are dteday, cnt',
    );
    expect(() => numericColumn(table, "Cnt")).toThrow('the columns are dteday, cnt – did you mean "cnt"?');
  });
});
