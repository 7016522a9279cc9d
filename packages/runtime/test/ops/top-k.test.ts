import { checkOp, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import * as kernels from "../../src/kernels/top-k.ts";
import { concat } from "../../src/ops/layout.ts";
import { argmax, putAlong, softmaxTopK, takeAlong, topK } from "../../src/ops/top-k.ts";
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
    [67, 64, 8],
    [3, 64, 9],
    [3, 64, 64],
    [65, 100, 13],
    [2, 500, 7],
    [1, 4096, 40],
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

  // In registers, in a row that a subgroup shares, and without subgroups.
  describe.each([
    ["few", 3, undefined],
    ["many", 9, undefined],
    ["many, without subgroups", 9, 0],
  ])("%s", (_, k, subgroupSize) => {
    const chosen = async (row: number[]) => {
      const rows = [...row, ...row]; // twice, so that a second row is looked at as well
      const { values, indices } = kernels.topK(tensor(device, rows, [2, row.length]), k, subgroupSize);
      const [value, index] = [[...(await values.read())], [...(await indices.read())]];
      expect([value.slice(k), index.slice(k)]).toEqual([value.slice(0, k), index.slice(0, k)]);
      expect(value.slice(k)).toEqual(index.slice(k).map((i) => row[i]));
      return index.slice(k);
    };
    const low = [-8, -8, -8, -8, -8, -8, -8, -8, -8, -8];

    test("a tie goes to the lower expert index", async () => {
      expect((await chosen([...low, 2, 7, 7, 1, 7])).slice(0, 3)).toEqual([11, 12, 14]);
      // An earlier of two equal values stays ahead of the later one when a larger value comes behind both.
      expect((await chosen([7, 7, 9, ...low])).slice(0, 3)).toEqual([2, 0, 1]);
      expect(await chosen(new Array(21).fill(0.5))).toEqual([...new Array(k).keys()]);
      expect((await chosen([-0, 0, -0, ...low])).slice(0, 3)).toEqual([0, 1, 2]);
    });

    test("NaN counts as the smallest, smaller than -Infinity", async () => {
      const row = [Number.NaN, Number.NaN, -Infinity, -5, Infinity, -(2 ** 127), Number.NaN, -Infinity, -6, -7, -8];
      expect(await chosen(row)).toEqual([4, 3, 8, 9, 10, 5, 2, 7, 0].slice(0, k));
      expect(await chosen(new Array(10).fill(Number.NaN))).toEqual([...new Array(k).keys()]);
    });
  });

  test("k beyond the last axis is an error that names both", () => {
    expect(() => topK(tensor(device, [1, 2, 3], [1, 3]), 4)).toThrow(
      "topK: need 1 ≤ k ≤ 3, the last axis of [1, 3]; got k=4",
    );
  });
});

test("no rows have no largest values", async () => {
  for (const k of [2, 9]) expect(await topK(tensor(device, [], [0, 12]), k).indices.read()).toHaveLength(0);
});

describe("softmaxTopK", () => {
  test.each([
    [1, 1, 1],
    [5, 8, 2],
    [67, 13, 8],
    [3, 20, 9],
  ])("%i rows of %i: the probabilities, then the best %i, with the gradients of both", async (rows, width, k) => {
    for (const normalize of [false, true]) {
      const data = uniformArray(rows * width, 10);
      const { indices } = softmaxTopK(tensor(device, Float32Array.from(data), [rows, width]), k, { normalize });
      const expected = Array.from({ length: rows }, (_, r) => best([...data.subarray(r * width, (r + 1) * width)], k));
      expect([...(await indices.read())]).toEqual(expected.flat());
      await checkOp(device, {
        op: (x) => {
          const { probs, values } = softmaxTopK(x, k, { normalize });
          return concat([probs, values], 1);
        },
        reference: (x) =>
          expected.flatMap((chosen, r) => {
            const powers = Array.from(x.subarray(r * width, (r + 1) * width), Math.exp);
            const total = powers.reduce((a, b) => a + b, 0);
            const probs = powers.map((power) => power / total);
            const sum = normalize ? chosen.reduce((a, i) => a + (probs[i] ?? 0), 0) : 1;
            return [...probs, ...chosen.map((i) => (probs[i] ?? 0) / sum)];
          }),
        inputs: [{ shape: [rows, width], data }],
      });
    }
  });

  test("a logit that is not a number makes the row's probabilities not numbers", async () => {
    const { values } = softmaxTopK(tensor(device, Float32Array.of(0, Number.NaN, 1, 0, 1, 2), [2, 3]), 1);
    const [bad, good] = await values.read();
    expect(bad).toBeNaN();
    expect(good).toBeCloseTo(Math.exp(2) / (1 + Math.E + Math.exp(2)), 6);
  });
});

describe("argmax", () => {
  test("says where the largest value of the last axis is, the first of several", async () => {
    const where = argmax(
      tensor(device, [1, 5, 5, Number.NaN, -3, -Infinity, Number.NaN, Number.NaN, -Infinity], [3, 1, 3]),
    );
    expect(where.shape).toEqual([3, 1]);
    expect([...(await where.read())]).toEqual([1, 1, 2]);
  });

  test("refuses rows without elements", () => {
    expect(() => argmax(tensor(device, [], [2, 0]))).toThrow(
      "argmax: the last axis of [2, 0] needs at least one element",
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

test("takeAlong refuses indices with other leading axes", () => {
  const indices = tensor(device, new Uint32Array(6), [3, 2, 1]);
  expect(() => takeAlong(tensor(device, new Float32Array(6), [2, 3, 1]), indices)).toThrow(
    "takeAlong: x [2, 3, 1] and indices [3, 2, 1] must agree but for the last axis",
  );
});

test("putAlong puts values in their places, sums those of one place, and skips places out of range", async () => {
  const indices = tensor(device, Uint32Array.of(2, 0, 2, 1, 9, 3), [2, 3]);
  await checkOp(device, {
    op: (x) => putAlong(x, indices, 4),
    reference: ([a = 0, b = 0, c = 0, d = 0, , f = 0]) => [b, 0, a + c, 0, 0, d, 0, f],
    inputs: [{ shape: [2, 3] }],
  });
  expect(() => putAlong(tensor(device, [1]), indices, 4)).toThrow("putAlong: x [1] and indices [2, 3] must agree");
});

test("a pick of no elements has a gradient of zeros", () =>
  checkOp(device, {
    op: (x) => concat([takeAlong(x, tensor(device, new Uint32Array(), [2, 0])), x], 1),
    reference: (x) => x,
    inputs: [{ shape: [2, 3] }],
  }));
