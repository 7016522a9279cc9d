import { checkOp, testDevice } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { square } from "../../src/ops/elementwise.ts";
import {
  arange,
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

/** The first `size` numbers from 0, as whole numbers. */
const counted = (shape: number[]) =>
  tensor(
    device,
    Uint32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i),
    shape,
  );

/** The elements of x [shape] in the order of `axes`. */
function permuted(shape: number[], axes: number[]): number[] {
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  return axes.reduce(
    (starts, axis) =>
      starts.flatMap((start) => [...new Array(shape[axis]).keys()].map((i) => start + i * (strides[axis] ?? 1))),
    [0],
  );
}

describe("permute", () => {
  test.each([
    [[7], [0]],
    [
      [9, 5],
      [1, 0],
    ],
    [
      [3, 1, 8, 4],
      [2, 0, 1, 3],
    ], // whole quads move
    [
      [2, 3, 5, 4],
      [0, 2, 1, 3],
    ],
    [
      [2, 3, 2, 5, 3],
      [4, 1, 3, 0, 2],
    ],
    [
      [2, 3, 2, 2, 3, 2, 2],
      [6, 2, 3, 4, 0, 1, 5],
    ], // neighbours that stay together count as one axis
    [
      [1, 1, 1],
      [2, 0, 1],
    ],
    [
      [2, 0, 3],
      [2, 1, 0],
    ],
  ])("takes the axes of %j in the order %j", async (shape, axes) => {
    const y = permute(counted(shape), axes);
    expect(y.shape).toEqual(axes.map((axis) => shape[axis]));
    expect([...(await y.read())]).toEqual(permuted(shape, axes));
  });

  test("refuses an order that names an axis twice, and more than five axes apart", () => {
    for (const order of [[0, 0], [0], [0, 1, 0]])
      expect(() => permute(counted([2, 2]), order)).toThrow(
        `[${order.join(", ")}] is no order of the 2 axes of [2, 2]`,
      );
    expect(() => permute(counted([2, 2, 2, 2, 2, 2]), [5, 4, 3, 2, 1, 0])).toThrow("at most 5 are supported");
  });
});

describe("u32 and i32 elements keep their bits", () => {
  test("in slices that are whole quads and others", async () => {
    for (const [start, length] of [
      [0, 8],
      [4, 4],
      [1, 8],
      [2, 3],
      [10, 0],
    ] as const)
      for (const rows of [1, 3]) {
        const y = await slice(counted([rows, 10]), 1, start, length).read();
        const expected = [...new Array(rows).keys()].flatMap((i) =>
          [...new Array(length).keys()].map((j) => 10 * i + start + j),
        );
        expect([...y]).toEqual(expected);
      }
  });

  test("in a view that starts anywhere", async () => {
    const rows = slice(counted([5, 3]), 0, 1, 4);
    expect([...(await transpose(rows).read())]).toEqual([3, 6, 9, 12, 4, 7, 10, 13, 5, 8, 11, 14]);
  });

  test("when padded, joined and stacked", async () => {
    const x = tensor(device, Int32Array.of(-1, -2), [2, 1]);
    expect([...(await pad(x, 1, 1, 2, -7).read())]).toEqual([-7, -1, -7, -7, -7, -2, -7, -7]);
    expect([...(await concat([counted([1, 2]), counted([2, 2])], 0).read())]).toEqual([0, 1, 0, 1, 2, 3]);
    const wide = [...new Array(8).keys()];
    expect([...(await concat([counted([1, 8]), counted([1, 0]), counted([1, 4])], 1).read())]).toEqual([
      ...wide,
      ...wide.slice(0, 4),
    ]);
    expect([...(await stack([counted([3]), counted([3])]).read())]).toEqual([0, 1, 2, 0, 1, 2]);
  });
});

describe("split", () => {
  test("brings the gradients of all parts back, and zeros for a part that is not used", async () => {
    for (const axis of [0, 1])
      await checkOp(device, {
        op: (x) => {
          const [a, , c] = split(x, axis, [1, 2, 1]) as [F32, F32, F32];
          return concat([square(c), a], axis);
        },
        reference: (x) => {
          const part = (k: number) => x.filter((_, i) => (axis === 0 ? Math.floor(i / 4) : i % 4) === k);
          const [a, c] = [part(0), part(3).map((v) => v * v)];
          return axis === 0 ? [...c, ...a] : [...c].flatMap((v, i) => [v, a[i] ?? 0]);
        },
        inputs: [{ shape: [4, 4] }],
      });
  });

  test("refuses sizes that do not add up", () => {
    expect(() => split(counted([4, 3]), 1, [1, 1])).toThrow("split: sizes 1 + 1 = 2 do not add up to axis 1 of [4, 3]");
  });
});

test("shapes that do not fit are refused", () => {
  expect(() => concat([counted([2, 3]), counted([3, 2])], 0)).toThrow(
    "concat: tensor 1 has shape [3, 2], expected [3, 3]",
  );
  expect(() => stack([counted([2]), counted([3])])).toThrow("stack: tensor 1 has shape [3], expected [2]");
  expect(() => stack([])).toThrow("stack: needs at least one tensor");
  expect(() => pad(counted([2]), 0, -1, 0)).toThrow("pad: needs counts of 0 or more, got -1 and 0");
  expect(() => slice(counted([2]), 0, 0.5, 1)).toThrow("slice: 0.5..1.5 is outside axis 0 of [2]");
});

test("zeros, ones and full fill every element", async () => {
  expect([...(await zeros(device, [3], "u32").read())]).toEqual([0, 0, 0]);
  expect([...(await ones(device, [2], "i32").read())]).toEqual([1, 1]);
  expect([...(await full(device, [2, 2], -1.5, "f32").read())]).toEqual([-1.5, -1.5, -1.5, -1.5]);
});

test("fills reach every element, in quads or not", async () => {
  for (const size of [0, 1, 4, 65, 256, 1001])
    expect([...(await full(device, [size], 7, "u32").read())]).toEqual(new Array(size).fill(7));
});

test("arange counts in steps, also down and in fractions", async () => {
  expect([...(await arange(device, 5, "u32").read())]).toEqual([0, 1, 2, 3, 4]);
  expect([...(await arange(device, 3, "i32", 1, -2).read())]).toEqual([1, -1, -3]);
  expect([...(await arange(device, 4, "f32", -1, 0.25).read())]).toEqual([-1, -0.75, -0.5, -0.25]);
  expect(await arange(device, 0, "f32").read()).toHaveLength(0);
});
