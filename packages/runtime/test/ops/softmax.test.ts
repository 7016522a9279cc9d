import { checkOp, expectClose, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { ShapeError } from "../../src/device/errors.ts";
import * as kernels from "../../src/kernels/softmax.ts";
import { logSoftmax, logSumExp, softmax } from "../../src/ops/softmax.ts";
import { tensor } from "../../src/tensor/index.ts";

const device = await testDevice();

function rowsOf(x: Float64Array, width: number): { row: Float64Array; logSum: number }[] {
  return Array.from({ length: x.length / width }, (_, i) => {
    const row = x.slice(i * width, (i + 1) * width);
    const high = Math.max(...row);
    return { row, logSum: high + Math.log(row.reduce((sum, value) => sum + Math.exp(value - high), 0)) };
  });
}

describe.each([[[1, 1]], [[5, 2]], [[2, 3, 5]], [[7, 67]], [[3, 8]], [[3, 200]], [[9]]])("of shape %j", (shape) => {
  const width = shape.at(-1) ?? 1;
  const inputs = [{ shape, low: -6, high: 6 }];

  test("softmax matches float64, and its gradient", () =>
    checkOp(device, {
      op: softmax,
      reference: (x) => rowsOf(x, width).flatMap(({ row, logSum }) => Array.from(row, (v) => Math.exp(v - logSum))),
      inputs,
    }));

  test("logSoftmax matches float64, and its gradient", () =>
    checkOp(device, {
      op: logSoftmax,
      reference: (x) => rowsOf(x, width).flatMap(({ row, logSum }) => Array.from(row, (v) => v - logSum)),
      inputs,
    }));

  test("logSumExp matches float64, and its gradient", () =>
    checkOp(device, { op: logSumExp, reference: (x) => rowsOf(x, width).map(({ logSum }) => logSum), inputs }));
});

test("large logits neither overflow nor underflow", async () => {
  const x = tensor(device, [1e4, 1e4, -1e4, -1e30, -1e30, -1e30], [2, 3]);
  expectClose("softmax", await softmax(x).read(), [0.5, 0.5, 0, 1 / 3, 1 / 3, 1 / 3], 1e-6);
  expectClose("logSumExp", await logSumExp(x).read(), [1e4 + Math.LN2, -1e30], 1e-6);
});

test("an element at -Infinity has probability 0", async () => {
  const x = tensor(device, [0, -Infinity, 0, 0], [1, 4]);
  expectClose("softmax", await softmax(x).read(), [1 / 3, 0, 1 / 3, 1 / 3], 1e-6);
});

test("no rows give no rows; a sum over no elements is refused", async () => {
  expect((await softmax(tensor(device, [], [0, 3])).read()).length).toBe(0);
  expect((await logSumExp(tensor(device, [], [0, 3])).read()).length).toBe(0);
  expect(() => logSumExp(tensor(device, [], [3, 0]))).toThrow(ShapeError);
});

test("rows shared through workgroup memory agree with rows shared by a subgroup", async () => {
  for (const width of [150, 200]) {
    const x = tensor(device, Float32Array.from(uniformArray(3 * width, 1, -6, 6)), [3, width]);
    expectClose("softmax", await kernels.softmax(x, 0).read(), await softmax(x).read(), 1e-6);
  }
});
