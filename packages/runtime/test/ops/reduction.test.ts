import { checkOp, testDevice } from "@moebius/testing";
import { describe, test } from "vitest";
import { max, mean, sum } from "../../src/ops/reduction.ts";

const device = await testDevice();

/** Reduces the middle axis of [outer, length, inner]. */
function along(
  x: Float64Array,
  outer: number,
  length: number,
  inner: number,
  f: (values: number[]) => number,
): number[] {
  return Array.from({ length: outer * inner }, (_, i) =>
    f(Array.from({ length }, (_, k) => x[(Math.floor(i / inner) * length + k) * inner + (i % inner)] ?? 0)),
  );
}
const total = (values: ArrayLike<number>) => Array.from(values).reduce((a, b) => a + b, 0);

describe("reductions match float64 and their gradient", () => {
  test.each([
    ["a middle axis", [3, 5, 4], 1, 3, 5, 4],
    ["the last axis", [6, 7], -1, 6, 7, 1],
    ["the first axis", [6, 7], 0, 1, 6, 7],
    ["a long axis, in two passes", [2, 1500], 1, 2, 1500, 1],
  ] as const)("%s", async (_, shape, axis, outer, length, inner) => {
    const inputs = [{ shape }];
    await checkOp(device, { op: (x) => sum(x, axis), reference: (x) => along(x, outer, length, inner, total), inputs });
    await checkOp(device, {
      op: (x) => mean(x, axis),
      reference: (x) => along(x, outer, length, inner, (v) => total(v) / length),
      inputs,
    });
    await checkOp(device, {
      op: (x) => max(x, axis),
      reference: (x) => along(x, outer, length, inner, (v) => Math.max(...v)),
      inputs,
      step: 1e-6,
    });
  });

  test("all axes, to a scalar", async () => {
    const inputs = [{ shape: [9, 11, 13] }];
    await checkOp(device, { op: (x) => sum(x), reference: (x) => [total(x)], inputs });
    await checkOp(device, { op: (x) => mean(x), reference: (x) => [total(x) / x.length], inputs });
  });
});
