import { spawnSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { findChromium } from "../src/chromium.ts";

describe.skipIf(process.platform !== "linux" || process.arch !== "x64")("findChromium", () => {
  test("answers with a Chromium that starts", () => {
    const { executable = "", environment = {} } = findChromium() ?? {};
    const { stdout, stderr } = spawnSync(executable, ["--version"], {
      env: { ...process.env, ...environment },
      encoding: "utf8",
    });
    expect(stdout, stderr).toMatch(/Chrom(e|ium) \d+/);
  });
});
