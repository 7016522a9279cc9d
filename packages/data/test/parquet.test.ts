import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DataError, numericColumn, readParquet, readTable, seriesFromTable } from "../src/index.ts";

const fixture = (name: string) => fileURLToPath(new URL(`./fixtures/${name}.parquet`, import.meta.url));

describe("readParquet", () => {
  test("numbers, integers, text, dates and nulls over two zstd row groups", async () => {
    const table = await readTable(fixture("five-rows"));
    expect(table.columns).toEqual(["day", "value", "count", "name"]);
    expect([...numericColumn(table, "value", { missing: "nan" })]).toEqual([1.5, Number.NaN, 3, 4.25, 5]);
    expect([...numericColumn(table, "count")]).toEqual([1, 2, 3, 4, 2 ** 40]);
    expect(table.column("name").toStrings()).toEqual(["a", "b", "a", "b", "c"]);
    const [series] = seriesFromTable(table, { columns: ["count"], timeColumn: "day" });
    expect(series?.frequency).toEqual({ unit: "day", step: 1 });
    expect(() => numericColumn(table, "value")).toThrow(/five-rows\.parquet, row 2, column "value": the cell is empty/);
  });
  test("nested columns", () =>
    expect(readTable(fixture("nested"))).rejects.toThrow('column "v": is nested; flatten it to plain columns'));
  test("no parquet file", async () => {
    await expect(readParquet(new TextEncoder().encode("a,b\n1,2\n".repeat(9)), "a.parquet")).rejects.toThrow(
      /^a\.parquet: is not a readable parquet file/,
    );
    await expect(readParquet(new Uint8Array(0), "a.parquet")).rejects.toThrow("a.parquet: is empty");
  });
  test("mutated files give a table or a DataError", async () => {
    const bytes = new Uint8Array(await readFile(fixture("five-rows")));
    const edits = fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.integer({ min: 0, max: 255 })), {
      minLength: 1,
      maxLength: 4,
    });
    await fc.assert(
      fc.asyncProperty(edits, async (changes) => {
        const mutated = bytes.slice();
        for (const [at, byte] of changes) mutated[at] = byte;
        const outcome = await readParquet(mutated, "a.parquet").then(
          (table) => table.rowCount,
          (error) => error,
        );
        expect(typeof outcome === "number" || outcome instanceof DataError, String(outcome)).toBe(true);
      }),
      { seed: 4, numRuns: 1500 },
    );
  });
});
