import { describe, expect, test } from "vitest";
import { environmentAdapter, findAdapter } from "#gpu";
import type { AdapterChoice } from "../../src/device/adapter.ts";
import { openDevice } from "../../src/device/request-device.ts";
import { DENSE_CASES } from "../../src/ops/self-test/dense-cases.ts";
import { runCase } from "../../src/ops/self-test/self-test.ts";
import { tensor } from "../../src/tensor/index.ts";
import { scaled } from "./kernels.ts";

const search = await findAdapter((environmentAdapter() ?? "auto") as AdapterChoice);
if (!search.adapter) throw new Error(search.remedy);
// As in browsers that do not know immediates.
const device = await openDevice({ ...search, languageFeatures: new Set() });

describe("without immediates", () => {
  test("the device says so", () => {
    expect(device.describe().immediates).toBe(false);
  });

  test("each dispatch of a batch gets its own parameters, in captures too", async () => {
    const x = tensor(device, [1]);
    const results = Array.from({ length: 20 }, (_, i) => scaled(x, i, 100 * i));
    using capture = device.capture(() => [scaled(x, 7), scaled(x, 8)] as const);
    capture.replay();
    const values = await Promise.all([...results, ...capture.value].map((y) => y.item()));
    expect(values).toEqual([...Array.from({ length: 20 }, (_, i) => 101 * i), 7, 8]);
  });

  test.each(["map, broadcast", "copy", "gemm, few rows", "norm, RMS", "rotary"])("kernel family %s", async (family) => {
    const testCase = DENSE_CASES.find((each) => each.family === family);
    expect(testCase && (await runCase(device, testCase))).toMatchObject({ ok: true });
  });
});
