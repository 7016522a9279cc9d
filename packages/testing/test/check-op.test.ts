import { differentiable, scale, square } from "@moebius/runtime/ops";
import type { Tensor } from "@moebius/runtime/tensor";
import { describe, expect, test } from "vitest";
import { checkOp, testDevice, uniformArray } from "../src/index.ts";

const device = await testDevice();
const inputs = [{ shape: [5] }];
const reference = (x: Float64Array) => x.map((value) => value * value);

describe("checkOp", () => {
  test("accepts an op whose value and gradient are right", async () => {
    await checkOp(device, { op: square, reference, inputs });
  });

  test("catches a wrong value", async () => {
    await expect(checkOp(device, { op: (x) => scale(square(x), 1.001), reference, inputs })).rejects.toThrow(
      /value\[\d\]/,
    );
  });

  test("catches a wrong gradient behind a right value", async () => {
    const wrong = (x: Tensor<"f32">) => {
      const y = square(x);
      differentiable("wrong", [x], [y], [], ([dy]) => [scale(dy as Tensor<"f32">, 2)]);
      return y;
    };
    await expect(checkOp(device, { op: wrong, reference, inputs })).rejects.toThrow("gradient");
  });
});

test("uniformArray gives the same f32 numbers for the same seed, within its bounds", () => {
  const values = uniformArray(1000, 3, -2, 5);
  expect(values).toEqual(uniformArray(1000, 3, -2, 5));
  expect(values).not.toEqual(uniformArray(1000, 4, -2, 5));
  expect(values.every((x) => x >= -2 && x < 5 && Math.fround(x) === x)).toBe(true);
});
