import { checkOp, testDevice } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { layerNorm, rmsNorm } from "../../src/ops/norm.ts";
import { tensor } from "../../src/tensor/index.ts";

const device = await testDevice();

function normalised(
  x: Float64Array,
  width: number,
  centred: boolean,
  epsilon: number,
  weight?: Float64Array,
  bias?: Float64Array,
): number[] {
  return Array.from(x, (value, i) => {
    const row = x.subarray(i - (i % width), i - (i % width) + width);
    const mean = centred ? row.reduce((a, b) => a + b, 0) / width : 0;
    const variance = row.reduce((a, b) => a + (b - mean) ** 2, 0) / width;
    return ((value - mean) / Math.sqrt(variance + epsilon)) * (weight?.[i % width] ?? 1) + (bias?.[i % width] ?? 0);
  });
}

describe("norms match float64 and their gradients", () => {
  test.each([
    [1, 4],
    [3, 7],
    [70, 9],
    [5, 130],
  ])("%i rows of %i", async (rows, width) => {
    const x = { shape: [rows, width] };
    const vector = { shape: [width] };
    await checkOp(device, {
      op: (x, w) => rmsNorm(x, w, 1e-5),
      reference: (x, w) => normalised(x, width, false, 1e-5, w),
      inputs: [x, vector],
    });
    await checkOp(device, {
      op: (x, w, b) => layerNorm(x, w, b),
      reference: (x, w, b) => normalised(x, width, true, 1e-5, w, b),
      inputs: [x, vector, vector],
      gradientTolerance: 3e-4,
    });
    await checkOp(device, {
      op: (x) => layerNorm(x),
      reference: (x) => normalised(x, width, true, 1e-5),
      inputs: [x],
      gradientTolerance: 3e-4,
    });
  });

  test("the mean after layerNorm is the bias", async () => {
    const y = await layerNorm(tensor(device, [1, 2, 3, 10], [1, 4]), undefined, tensor(device, [5, 5, 5, 5])).read();
    expect(y.reduce((a, b) => a + b, 0) / 4).toBeCloseTo(5, 5);
  });

  test("a weight of another length is an error that shows both shapes", () => {
    expect(() => rmsNorm(tensor(device, [1, 2, 3], [1, 3]), tensor(device, [1, 2]))).toThrow(
      "rmsNorm: weight has shape [2], expected [3]",
    );
  });
});
