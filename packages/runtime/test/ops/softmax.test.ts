import { checkOp, testDevice } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { logSoftmax, logSumExp, softmax } from "../../src/ops/softmax.ts";
import { tensor } from "../../src/tensor/index.ts";

const device = await testDevice();

/** Applies f to each row of `width` values. */
function rows(x: Float64Array, width: number, f: (row: number[]) => number[]): number[] {
  return Array.from({ length: x.length / width }, (_, r) => f([...x.subarray(r * width, (r + 1) * width)])).flat();
}
const logSum = (row: number[]) => Math.log(row.reduce((sum, value) => sum + Math.exp(value), 0));

describe("softmax family matches float64 and its gradient", () => {
  test.each([
    [1, 1],
    [3, 5],
    [7, 8],
    [5, 67],
    [2, 300],
  ])("%i rows of %i", async (count, width) => {
    const inputs = [{ shape: [count, width], low: -4, high: 4 }];
    await checkOp(device, {
      op: softmax,
      reference: (x) => rows(x, width, (row) => row.map((v) => Math.exp(v - logSum(row)))),
      inputs,
    });
    await checkOp(device, {
      op: logSoftmax,
      reference: (x) => rows(x, width, (row) => row.map((v) => v - logSum(row))),
      inputs,
    });
    await checkOp(device, { op: logSumExp, reference: (x) => rows(x, width, (row) => [logSum(row)]), inputs });
  });

  test("large logits do not overflow", async () => {
    const y = await softmax(tensor(device, [1000, 999, -1000])).read();
    expect(y[0]).toBeCloseTo(1 / (1 + Math.exp(-1)), 5);
    expect(y[2]).toBe(0);
  });

  test("no rows give no rows", async () => {
    expect(await softmax(tensor(device, new Float32Array(), [0, 4])).read()).toHaveLength(0);
  });
});
