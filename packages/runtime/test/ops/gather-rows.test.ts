import { checkOp, testDevice, uniform, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { multiply } from "../../src/ops/elementwise.ts";
import { embedding, gatherRows, scatterRows } from "../../src/ops/gather-rows.ts";
import { tensor } from "../../src/tensor/index.ts";

const device = await testDevice();
const NONE = 0xffffffff;

/** `count` indices below `rows`, with repeats; one in five is out of range. */
function randomIndices(count: number, rows: number): number[] {
  const next = uniform(17 * count + rows);
  return Array.from({ length: count }, () => {
    const index = Math.floor(next() * rows);
    return next() < 0.8 ? index : next() < 0.5 ? NONE : rows + index;
  });
}

const SIZES = [
  [1, 1, 1],
  [5, 3, 2],
  [3, 40, 8],
  [70, 33, 13],
  [2000, 100, 4], // more rows than one pass of the sort takes
  [4, 0, 3],
] as const;

describe.each(SIZES)("%i rows, %i indices, width %i", (rows, count, width) => {
  const list = randomIndices(count, rows);
  const indices = tensor(device, Uint32Array.from(list));
  const gathered = (x: Float64Array) =>
    list.flatMap((r) => Array.from({ length: width }, (_, j) => (r < rows ? (x[r * width + j] as number) : 0)));

  test("gatherRows picks rows, zeros where there are none, and its gradient adds up", () =>
    checkOp(device, { op: (x) => gatherRows(x, indices), reference: gathered, inputs: [{ shape: [rows, width] }] }));

  test("scatterRows adds up rows by target, and its gradient picks them", () =>
    checkOp(device, {
      op: (x) => scatterRows(x, indices, rows),
      reference: (x) => {
        const y = new Float64Array(rows * width);
        for (const [m, r] of list.entries())
          for (let j = 0; j < width && r < rows; j++)
            y[r * width + j] = (y[r * width + j] ?? 0) + (x[m * width + j] ?? 0);
        return y;
      },
      inputs: [{ shape: [count, width] }],
    }));
});

test("gatherRows moves whole numbers as well", async () => {
  const indices = tensor(device, Uint32Array.of(1, NONE, 0));
  const u32 = gatherRows(tensor(device, Uint32Array.of(1, NONE, 0x7f800001, 4), [2, 2]), indices);
  expect([...(await u32.read())]).toEqual([0x7f800001, 4, 0, 0, 1, NONE]);
  const i32 = gatherRows(tensor(device, Int32Array.of(-1, -2), [2, 1]), indices);
  expect([...(await i32.read())]).toEqual([-2, 0, -1]);
});

test("embedding gives every id its vector, under the ids' axes", async () => {
  const ids = [3, 0, 3, 1, 9, 3];
  await checkOp(device, {
    op: (weight, scale) => multiply(embedding(tensor(device, Uint32Array.from(ids), [2, 1, 3]), weight), scale),
    reference: (weight, scale) =>
      ids.flatMap((id, m) => [0, 1, 2].map((j) => (id < 5 ? (weight[id * 3 + j] ?? 0) * (scale[m * 3 + j] ?? 0) : 0))),
    inputs: [{ shape: [5, 3] }, { shape: [2, 1, 3, 3] }],
  });
});

test("sums of rows are the same on every run", async () => {
  const [count, width] = [5000, 3];
  const x = tensor(device, Float32Array.from(uniformArray(count * width, 1)), [count, width]);
  const indices = tensor(device, Uint32Array.from(randomIndices(count, 7)));
  const first = await scatterRows(x, indices, 7).read();
  // In f32 and in ascending order, exactly.
  const expected = new Float32Array(7 * width);
  const [values, targets] = [await x.read(), await indices.read()];
  for (const [m, r] of targets.entries())
    for (let j = 0; j < width && r < 7; j++)
      expected[r * width + j] = (expected[r * width + j] as number) + (values[m * width + j] as number);
  expect([...first]).toEqual([...expected]);
  expect(await scatterRows(x, indices, 7).read()).toEqual(first);
});

test("shapes that do not fit are errors that name them", () => {
  const indices = tensor(device, Uint32Array.of(0, 1));
  const x = tensor(device, [1, 2, 3, 4, 5, 6], [3, 2]);
  expect(() => gatherRows(tensor(device, [1, 2]), indices)).toThrow(
    "gatherRows: needs rows [rows, width] and indices [count], got [2] and [2]",
  );
  expect(() => scatterRows(x, indices, 4)).toThrow("scatterRows: indices has shape [2], expected [3]");
  expect(() => scatterRows(tensor(device, [1, 2], [2, 1]), indices, 1.5)).toThrow(
    "scatterRows: numRows must be a count, got 1.5",
  );
});
