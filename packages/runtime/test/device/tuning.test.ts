import { writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { ConfigError, readTunings, requestDevice, saveTuning, type TuningRow } from "../../src/device/index.ts";
import { temporaryFolder } from "../io/temporary-folder.ts";

const row: TuningRow = { adapter: "a", subgroupSize: 8, date: "2026-11-24", panelBreakEven: 90, wideColumns: null };

describe("tuning", () => {
  test("an adapter has one row, which a later one replaces", async () => {
    const folder = await temporaryFolder();
    const file = path.posix.join(folder, "cache/tuning.json");
    expect(await readTunings(file)).toEqual([]);
    await saveTuning(row, file);
    await saveTuning({ ...row, subgroupSize: 4 }, file);
    await saveTuning({ ...row, panelBreakEven: 70 }, file);
    expect(await readTunings(file)).toEqual([
      { ...row, subgroupSize: 4 },
      { ...row, panelBreakEven: 70 },
    ]);
  });

  test.each([
    ["no JSON", "{"],
    ["no list", "{}"],
    ["a row without a threshold", JSON.stringify([row, { ...row, wideColumns: undefined }])],
    ["a negative threshold", JSON.stringify([{ ...row, panelBreakEven: -1 }])],
  ])("%s is an error that names the file", async (_, text) => {
    const folder = await temporaryFolder();
    const file = path.join(folder, "tuning.json");
    writeFileSync(file, text);
    await expect(readTunings(file)).rejects.toThrow(ConfigError);
    await expect(readTunings(file)).rejects.toThrow(file);
  });

  test("a device takes the user's row for its adapter", async () => {
    const folder = await temporaryFolder();
    const before = process.env.XDG_CACHE_HOME;
    using first = await requestDevice({ onNotice: false });
    const { adapter, subgroupSize } = first.describe();
    process.env.XDG_CACHE_HOME = folder;
    try {
      await saveTuning({ ...row, adapter, subgroupSize, panelBreakEven: 12_345 });
      using device = await requestDevice({ onNotice: false });
      expect(device.tuning.panelBreakEven).toBe(12_345);
    } finally {
      if (before === undefined) delete process.env.XDG_CACHE_HOME;
      else process.env.XDG_CACHE_HOME = before;
    }
  });
});
