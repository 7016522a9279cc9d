import { testDevice } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { addScalar } from "../../src/ops/index.ts";
import { runCase, type SelfTestCase, selfTest } from "../../src/ops/self-test/self-test.ts";

const device = await testDevice();

describe("selfTest", () => {
  test("every kernel family agrees with float64, and each is reported as it ends", async () => {
    const reported: string[] = [];
    const results = await selfTest(device, ({ family }) => reported.push(family));
    expect(results.filter(({ ok }) => !ok)).toEqual([]);
    expect(results.map(({ family }) => family)).toEqual(reported);
    expect(new Set(reported).size).toBe(reported.length);
  });
});

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
