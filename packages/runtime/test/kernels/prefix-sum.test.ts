import { testDevice, uniform } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { prefixSum } from "../../src/kernels/prefix-sum.ts";
import { tensor } from "../../src/tensor/index.ts";

const device = await testDevice();

describe("prefixSum", () => {
  // One chunk, chunks summed by each thread, and a scan of the chunk sums; each at and around its limits.
  test.each([0, 1, 7, 255, 256, 257, 1000, 65_535, 65_536, 65_537, 200_000])(
    "adds up what lies before each of %i elements, and the total",
    async (size) => {
      const next = uniform(size);
      const x = Uint32Array.from({ length: size }, () => Math.floor(next() * 10));
      const expected = new Uint32Array(size + 1);
      for (const [i, value] of x.entries()) expected[i + 1] = (expected[i] as number) + value;
      const sums = await prefixSum(tensor(device, x)).read();
      expect(sums.length).toBe(size + 1);
      expect(sums.findIndex((sum, i) => sum !== expected[i])).toBe(-1);
    },
  );

  test("wraps around at 2³²", async () => {
    expect([...(await prefixSum(tensor(device, Uint32Array.of(0xffffffff, 3, 1))).read())]).toEqual([
      0, 0xffffffff, 2, 3,
    ]);
  });
});
