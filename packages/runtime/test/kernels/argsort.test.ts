import { testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { argsortDescending } from "../../src/ops/index.ts";
import { scope, tensor } from "../../src/tensor/index.ts";

const device = await testDevice();

const orderOf = (values: ArrayLike<number>, few?: boolean) =>
  scope(() => ({ order: argsortDescending(tensor(device, Float32Array.from(values)), few).read() })).order;

/** NaN counts as the smallest. */
const reference = (values: ArrayLike<number>) => {
  const keys = Array.from(values, (value) => (Number.isNaN(value) ? Number.NEGATIVE_INFINITY : Math.fround(value)));
  return [...keys.keys()].sort((a, b) => {
    const [x, y] = [keys[a] as number, keys[b] as number];
    return x === y ? a - b : y - x;
  });
};

describe.each([
  ["by comparing all pairs", true],
  ["by radix", false],
])("argsortDescending, %s", (_, few) => {
  test.each([0, 1, 2, 63, 64, 65, 1000])("sorts %d values", async (count) => {
    const values = uniformArray(count, 3, -5, 5);
    expect([...(await orderOf(values, few))]).toEqual(reference(values));
  });

  test("ties stay in their own order, both zeros are one, NaN comes last", async () => {
    const values = [1, 0, Number.NaN, -0, 1, -1, 1 / 0, -1e-30, 0.5];
    expect([...(await orderOf(values, few))]).toEqual([6, 0, 4, 8, 1, 3, 7, 5, 2]);
  });

  test("many equal values", async () => {
    const values = Array.from({ length: 700 }, (_, i) => (i * i) % 5);
    expect([...(await orderOf(values, few))]).toEqual(reference(values));
  });
});

describe("argsortDescending", () => {
  test("takes one axis only", () => {
    expect(() => argsortDescending(tensor(device, [1, 2], [1, 2]))).toThrow(
      "argsortDescending: x must be [N], got [1, 2]",
    );
  });
});
