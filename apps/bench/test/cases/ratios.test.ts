import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { BenchRow } from "../../src/cases/bench-case.ts";
import { committedRatios, compareRatios, readRatios, saveRatios } from "../../src/cases/ratios.ts";

const folder = await mkdtemp(path.join(os.tmpdir(), "moebius-ratios-"));
afterAll(() => rm(folder, { recursive: true }));

const row = (name: string, ratio?: number): BenchRow => ({
  case: name,
  backend: "webgpu",
  adapter: "a test",
  ms: 1,
  reference: "a copy",
  ...(ratio === undefined ? {} : { ratio }),
});

describe("ratios", () => {
  test("saving keeps the ratios of other cases and of other classes", async () => {
    const file = path.join(folder, "saved.json");
    await saveRatios(file, "software", [row("b", 2), row("a", 1)]);
    await saveRatios(file, "embedded", [row("a", 5)]);
    await saveRatios(file, "software", [row("b", 3), row("no ratio")]);
    expect(await readRatios(file)).toEqual({
      software: { "a | a copy": 1, "b | a copy": 3 },
      embedded: { "a | a copy": 5 },
    });
    expect(await readFile(file, "utf8")).toMatch(/"a \| a copy": 1,\n.*"b \| a copy": 3/);
  });

  test("a file that is not there holds nothing; a damaged one is refused", async () => {
    expect(await readRatios(path.join(folder, "none.json"))).toEqual({});
    const file = path.join(folder, "damaged.json");
    await writeFile(file, "{");
    await expect(readRatios(file)).rejects.toThrow(`${file} is damaged`);
  });

  test("a ratio is worse when it lost more than a quarter, and noted when it gained more or is new", () => {
    const committed = { "lost | a copy": 1, "kept | a copy": 1, "gained | a copy": 1 };
    const rows = [row("lost", 0.74), row("kept", 0.76), row("gained", 1.26), row("new", 4)];
    expect(compareRatios(committed, rows)).toEqual({
      worse: ["lost | a copy: 0.74, was 1"],
      notes: ["gained | a copy: 1.26, was 1; better", "new | a copy: 4, not committed yet"],
    });
  });

  test("a class without ratios is the user's mistake", () => {
    expect(() => committedRatios({ software: {} }, "hardware")).toThrow(
      "no ratios are committed for hardware adapters",
    );
  });
});
