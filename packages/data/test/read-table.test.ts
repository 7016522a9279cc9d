import { mkdtemp, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openFile as openInPage } from "../src/files.browser.ts";
import { readTable } from "../src/index.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), "moebius-data-"));
});
afterAll(() => rm(folder, { recursive: true }));

describe("readTable", () => {
  test.each([
    ["a.csv", "v,w\n1,2\n"],
    ["a.tsv", "v\tw, x\n1\t2\n"],
    ["a.jsonl", '{"v":1,"w":2}\n'],
    ["a.ndjson", '{"v":1,"w":2}\n'],
    ["a.json", '[{"v":1,"w":2}]'],
    ["series", "v;w\n1;2\n"],
  ])("%s, plain and gzipped", async (name, text) => {
    const file = path.join(folder, name);
    await writeFile(file, text);
    await writeFile(`${file}.gz`, gzipSync(text));
    for (const each of [file, `${file}.gz`]) {
      const table = await readTable(each);
      expect(table.columns).toHaveLength(2);
      expect(table.column("v").toStrings()).toEqual(["1"]);
    }
  });
  test("a stream, named in messages", () =>
    expect(readTable(new Blob(["a,b\n1\n"]).stream(), { name: "upload.csv" })).rejects.toThrow(
      "upload.csv, line 2: found 1 cells",
    ));
  test("a failed read closes the source", async () => {
    let closed = false;
    const source = (async function* () {
      try {
        yield new TextEncoder().encode("a,a\n");
        for (;;) yield new TextEncoder().encode("1,2\n");
      } finally {
        closed = true;
      }
    })();
    await expect(readTable(source)).rejects.toThrow('two columns are named "a"');
    expect(closed).toBe(true);
  });
  test("no such file, a folder, an unknown extension", async () => {
    await expect(readTable(path.join(folder, "none.csv"))).rejects.toThrow(
      /none\.csv: there is no such file; check the path/,
    );
    await expect(readTable(folder, { format: "csv" })).rejects.toThrow(/: is a folder; give the path of a file in it/);
    await expect(readTable("a.xlsx")).rejects.toThrow(/the extension \.xlsx is not known; rename it to \.csv/);
  });
});

describe("in a page", () => {
  test("an address is fetched", async () =>
    expect((await readTable(await openInPage("data:text/csv,a%0A1%0A"))).column("a").toStrings()).toEqual(["1"]));
  test("standard input does not exist", () =>
    expect(openInPage("-")).rejects.toThrow("does not exist in a page; pass a file's stream"));
});
