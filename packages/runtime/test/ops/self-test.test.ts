import { readdir, readFile } from "node:fs/promises";
import { testDevice } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { profile } from "../../src/device/index.ts";
import { addScalar } from "../../src/ops/index.ts";
import { runCase, type SelfTestCase, type SelfTestResult, selfTest } from "../../src/ops/self-test/self-test.ts";

const device = await testDevice();

describe("selfTest", () => {
  test("every kernel family agrees with float64, and each is reported as it ends", async () => {
    const reported: string[] = [];
    let results: SelfTestResult[] = [];
    const report = await profile(device, async () => {
      results = await selfTest(device, ({ family }) => reported.push(family));
    });
    expect(results.filter(({ ok }) => !ok)).toEqual([]);
    expect(results.map(({ family }) => family)).toEqual(reported);
    expect(new Set(reported).size).toBe(reported.length);
    // A new kernel wants a case in src/ops/self-test, so that doctor can vouch for it.
    expect(report.kernels.map(({ kernel }) => kernel).sort()).toEqual(await kernelFiles());
  });
});

/** The .wgsl files that are kernels, not parts of others. */
async function kernelFiles(): Promise<string[]> {
  const folder = new URL("../../src/kernels/", import.meta.url);
  const names = (await readdir(folder)).filter((name) => name.endsWith(".wgsl"));
  const texts = await Promise.all(names.map((name) => readFile(new URL(name, folder), "utf8")));
  return names
    .filter((_, i) => texts[i]?.includes("@compute"))
    .map((name) => name.replace(".wgsl", ""))
    .sort();
}

describe("runCase", () => {
  const shifted: SelfTestCase = {
    family: "shift",
    tolerance: 1e-5,
    inputs: [[4]],
    run: (_, x) => [addScalar(x, 1)],
    reference: (x) => [x.map((v) => v + 1.001)],
  };

  test("a wrong value is not ok, with its relative error", async () => {
    const { ok, error } = await runCase(device, shifted);
    expect(ok).toBe(false);
    expect(error).toBeGreaterThan(1e-4);
    expect(error).toBeLessThan(1.1e-3);
  });

  test("a wrong gradient is not ok, although the values are right", async () => {
    const reference: SelfTestCase["reference"] = (x) => [x.map((v) => v + 1 + 50 * (v - Math.fround(v)))];
    const { ok } = await runCase(device, { ...shifted, reference, differentiate: true });
    expect(ok).toBe(false);
  });

  test("NaN, a missing result and an exception are not ok", async () => {
    const cases: Partial<SelfTestCase>[] = [
      { reference: () => [[0, 0, 0, Number.NaN]] },
      { reference: () => [] },
      {
        run: () => {
          throw new Error("no such kernel");
        },
      },
    ];
    const results = await Promise.all(cases.map((change) => runCase(device, { ...shifted, ...change })));
    expect(results.map(({ ok, problem }) => [ok, problem])).toEqual([
      [false, undefined],
      [false, "1 results, expected 0"],
      [false, "no such kernel"],
    ]);
  });
});
