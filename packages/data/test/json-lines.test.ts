import { describe, expect, test } from "vitest";
import { numericColumn, readJson, readJsonLines, seriesFromTable } from "../src/index.ts";

const lines = (text: string) => readJsonLines(text, "a.jsonl");

describe("readJsonLines", () => {
  test("objects are rows; an absent key or null is a missing cell", async () => {
    const table = await lines('{"t":"2011-01-01","v":1.5}\n\n{"v":null}\n{"t":"b","v":-2}');
    expect(table.columns).toEqual(["t", "v"]);
    expect(table.column("t").toStrings()).toEqual(["2011-01-01", "", "b"]);
    expect([...numericColumn(table, "v", { missing: "nan" })]).toEqual([1.5, Number.NaN, -2]);
    expect(table.lineOf(1)).toBe(3);
  });
  test("sequences and arrays are whole series, told apart by id or line", async () => {
    const series = seriesFromTable(await lines('{"sequence":[1,2]}\n[3]\n{"id":"x","sequence":[4,5,6]}\n'), {
      columns: ["sequence"],
    });
    expect(series.map(({ id, values }) => [id, [...values]])).toEqual([
      ["1", [1, 2]],
      ["2", [3]],
      ["x", [4, 5, 6]],
    ]);
  });
  test.each([
    ["no JSON", '{"v":1}\n{"v":', /^a\.jsonl, line 2: is not JSON \(.*\); expected an object/],
    ["NaN", '{"v":1}\n{"v":NaN}', /^a\.jsonl, line 2: is not JSON \(.*\); write null for a missing value$/],
    ["a bare number", "5\n", /^a\.jsonl, line 1: found "5", expected an object/],
    [
      "a nested cell",
      '{"v":{"w":1}}',
      /^a\.jsonl, line 1, column "v": found an object, expected a number, text or null; flatten it/,
    ],
    ["a new key", '{"v":1}\n{"v":1,"w":2}', /^a\.jsonl, line 2, column "w": the key is not in the first line/],
    ["rows after series", '[1]\n{"v":1}', /^a\.jsonl, line 2: rows and whole series are mixed/],
    ["nothing", "\n", /^a\.jsonl: is empty/],
  ])("%s", (_, text, message) => expect(lines(text)).rejects.toThrow(message));
  test("a number too large for JSON is found in its column", async () => {
    const table = await lines('{"v":1e999}');
    expect(() => numericColumn(table, "v")).toThrow(
      'a.jsonl, line 1, column "v": found "Infinity", expected a finite number',
    );
  });
});

describe("readJson", () => {
  test("an array of rows, of series, of numbers, or one series", async () => {
    const ids = async (text: string) =>
      seriesFromTable(await readJson(text, "a.json"), { columns: ["sequence"] }).map(
        ({ id, values }) => `${id}:${values}`,
      );
    expect(await ids("[[1,2],[3]]")).toEqual(["1:1,2", "2:3"]);
    expect(await ids("[1,2,3]")).toEqual(["1:1,2,3"]);
    expect(await ids('{"sequence":[1,2]}')).toEqual(["1:1,2"]);
    expect([...numericColumn(await readJson('[{"v":1},\n{"v":2}]', "a.json"), "v")]).toEqual([1, 2]);
  });
  test("messages count items", () =>
    expect(readJson('[{"v":1},{"v":[2]}]', "a.json")).rejects.toThrow('a.json, item 2, column "v": found an array'));
});
