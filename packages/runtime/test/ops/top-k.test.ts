import { checkOp, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { takeAlong, topK } from "../../src/ops/top-k.ts";
import { tensor } from "../../src/tensor/index.ts";

const device = await testDevice();

/** Indices of the k largest, a tie to the lower index. */
function best(row: number[], k: number): number[] {
  return row
    .map((_, i) => i)
    .sort((a, b) => (row[b] ?? 0) - (row[a] ?? 0) || a - b)
    .slice(0, k);
}

describe("topK", () => {
  test.each([
    [1, 1, 1],
    [5, 8, 2],
    [70, 13, 5],
    [3, 64, 64],
    [2, 500, 7],
  ])("%i rows of %i, the best %i", async (rows, width, k) => {
    const data = uniformArray(rows * width, 9);
    const { indices } = topK(tensor(device, Float32Array.from(data), [rows, width]), k);
    const expected = Array.from({ length: rows }, (_, r) =>
      best([...data.subarray(r * width, (r + 1) * width)], k),
    ).flat();
    expect([...(await indices.read())]).toEqual(expected);
    await checkOp(device, {
      op: (x) => topK(x, k).values,
      reference: (x) => expected.map((index, i) => x[Math.floor(i / k) * width + index] ?? 0),
      inputs: [{ shape: [rows, width], data }],
    });
  });

  test("a tie goes to the lower expert index", async () => {
    const { indices } = topK(tensor(device, [2, 7, 7, 1, 7], [1, 5]), 3);
    expect([...(await indices.read())]).toEqual([1, 2, 4]);
  });

  test("NaN counts as the smallest", async () => {
    const { indices } = topK(tensor(device, [Number.NaN, -5, 3], [1, 3]), 2);
    expect([...(await indices.read())]).toEqual([2, 1]);
  });

  test("k beyond the last axis is an error that names both", () => {
    expect(() => topK(tensor(device, [1, 2, 3], [1, 3]), 4)).toThrow(
      "topK: need 1 ≤ k ≤ 3, the last axis of [1, 3]; got k=4",
    );
  });
});

test("takeAlong picks along the last axis, twice the same if asked, and 0 out of range", async () => {
  const indices = tensor(device, Uint32Array.of(2, 0, 2, 1, 9, 0), [2, 3]);
  await checkOp(device, {
    op: (x) => takeAlong(x, indices),
    reference: (x) => [x[2], x[0], x[2], x[4], 0, x[3]].map((value) => value ?? 0),
    inputs: [{ shape: [2, 3] }],
  });
});
