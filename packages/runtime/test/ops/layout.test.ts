import { checkOp, testDevice } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { square } from "../../src/ops/elementwise.ts";
import {
  concat,
  full,
  ones,
  pad,
  permute,
  reshape,
  slice,
  split,
  stack,
  transpose,
  zeros,
} from "../../src/ops/layout.ts";
import { type Tensor, tensor } from "../../src/tensor/index.ts";

const device = await testDevice();
const inputs = [{ shape: [2, 3, 4] }];
type F32 = Tensor<"f32">;
/** Element [i, j, k] of [2, 3, 4]. */
const at = (x: Float64Array, i: number, j: number, k: number) => x[(i * 3 + j) * 4 + k] ?? 0;

describe("layout ops move elements and bring their gradients back", () => {
  test("reshape", () =>
    checkOp(device, { op: (x) => square(reshape(x, [4, -1])), reference: (x) => x.map((v) => v * v), inputs }));

  test("permute and transpose", async () => {
    const reference = (x: Float64Array) =>
      [0, 1, 2, 3].flatMap((k) => [0, 1].flatMap((i) => [0, 1, 2].map((j) => at(x, i, j, k))));
    await checkOp(device, { op: (x) => permute(x, [2, 0, 1]), reference, inputs });
    const swapped = (x: Float64Array) =>
      [0, 1].flatMap((i) => [0, 1, 2, 3].flatMap((k) => [0, 1, 2].map((j) => at(x, i, j, k))));
    await checkOp(device, { op: (x) => transpose(x), reference: swapped, inputs });
  });

  test("slice on each axis", async () => {
    await checkOp(device, {
      op: (x) => square(slice(x, 0, 1, 1)),
      reference: (x) => x.subarray(12).map((v) => v * v),
      inputs,
    });
    await checkOp(device, {
      op: (x) => slice(x, 1, 1, 2),
      reference: (x) => [0, 1].flatMap((i) => [1, 2].flatMap((j) => [0, 1, 2, 3].map((k) => at(x, i, j, k)))),
      inputs,
    });
    await checkOp(device, {
      op: (x) => slice(x, -1, 3, 1),
      reference: (x) => [0, 1].flatMap((i) => [0, 1, 2].map((j) => at(x, i, j, 3))),
      inputs,
    });
  });

  test("pad with a value", () =>
    checkOp(device, {
      op: (x) => pad(x, 1, 1, 2, 7),
      reference: (x) =>
        [0, 1].flatMap((i) =>
          [-1, 0, 1, 2, 3, 4].flatMap((j) => [0, 1, 2, 3].map((k) => (j < 0 || j > 2 ? 7 : at(x, i, j, k)))),
        ),
      inputs,
    }));

  test("concat, stack and split", async () => {
    const two = [{ shape: [2, 2] }, { shape: [2, 3] }];
    const joined = (a: Float64Array, b: Float64Array) =>
      [0, 1].flatMap((i) => [...a.subarray(2 * i, 2 * i + 2), ...b.subarray(3 * i, 3 * i + 3)]);
    await checkOp(device, { op: (a, b) => concat([a, b], 1), reference: joined, inputs: two });
    await checkOp(device, {
      op: (a, b) => stack([a, b], 1),
      reference: (a, b) => [a[0], a[1], b[0], b[1], a[2], a[3], b[2], b[3]].map((v) => v ?? 0),
      inputs: [{ shape: [2, 2] }, { shape: [2, 2] }],
    });
    await checkOp(device, {
      op: (x) => split(x, 2, [1, 3])[1] as F32,
      reference: (x) => x.filter((_, i) => i % 4 !== 0),
      inputs,
    });
  });

  test("a slice outside its axis is an error that shows the shape", () => {
    expect(() => slice(tensor(device, [1, 2, 3]), 0, 2, 2)).toThrow("slice: 2..4 is outside axis 0 of [3]");
  });
});

test("zeros, ones and full fill every element", async () => {
  expect([...(await zeros(device, [3], "u32").read())]).toEqual([0, 0, 0]);
  expect([...(await ones(device, [2], "i32").read())]).toEqual([1, 1]);
  expect([...(await full(device, [2, 2], -1.5, "f32").read())]).toEqual([-1.5, -1.5, -1.5, -1.5]);
});
