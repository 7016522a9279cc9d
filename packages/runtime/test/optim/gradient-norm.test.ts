import { expectClose, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { gradientControl } from "../../src/kernels/gradient-norm.ts";
import { tensor } from "../../src/tensor/index.ts";

const device = await testDevice();
const gradientOf = (values: ArrayLike<number>) => tensor(device, Float32Array.from(values));

describe("gradientControl", () => {
  test("is the norm over tensors of all sizes together, and the factor that clips it", async () => {
    const parts = [1, 3, 4, 1023, 1024, 4097, 8200].map((size, k) => uniformArray(size, k));
    const norm = Math.sqrt(parts.reduce((sum, part) => sum + part.reduce((a, b) => a + b * b, 0), 0));
    const gradients = parts.map(gradientOf);
    expectClose("clipped", await gradientControl(gradients, 2).read(), [norm, 2 / norm], 1e-6);
    expectClose("within", await gradientControl(gradients, 2 * norm).read(), [norm, 1], 1e-6);
    expectClose("no limit", await gradientControl(gradients).read(), [norm, 1], 1e-6);
  });

  test("a norm of zero is not divided by", async () => {
    expect([...(await gradientControl([gradientOf([0, 0, 0])], 1).read())]).toEqual([0, 1]);
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY])("one %s in the last tensor gives factor 0", async (value) => {
    const control = gradientControl([gradientOf([1, 2, 3, 4]), gradientOf([0, value, 0, 0, 0])], 1);
    expect((await control.read())[1]).toBe(0);
  });

  test("without a gradient it says so", () => {
    expect(() => gradientControl([])).toThrow("the loss depends on no trainable parameter");
  });
});
