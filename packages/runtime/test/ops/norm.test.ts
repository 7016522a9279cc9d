import { checkOp, expectClose, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { ShapeError } from "../../src/device/errors.ts";
import { normBackward, normForward } from "../../src/kernels/norm.ts";
import { layerNorm, rmsNorm } from "../../src/ops/norm.ts";
import { tensor } from "../../src/tensor/index.ts";

const device = await testDevice();

function normalise(x: Float64Array, width: number, epsilon: number, centred: boolean): number[] {
  return Array.from({ length: x.length / width }, (_, row) => x.slice(row * width, (row + 1) * width)).flatMap(
    (row) => {
      const centre = centred ? row.reduce((a, b) => a + b, 0) / width : 0;
      const variance = row.reduce((sum, value) => sum + (value - centre) ** 2, 0) / width;
      return Array.from(row, (value) => (value - centre) / Math.sqrt(variance + epsilon));
    },
  );
}

const SHAPES = [
  [1, 1],
  [3, 2],
  [2, 3, 5],
  [3, 8],
  [7, 67],
  [130, 9],
  [2, 200],
] as const;

describe.each(SHAPES.map((shape) => [shape]))("of shape %j", (shape) => {
  const width = shape.at(-1) ?? 1;
  const x = { shape };
  const weight = { shape: [width], low: 0.5, high: 1.5 };
  const bias = { shape: [width] };

  test("rmsNorm matches float64, and its gradients", () =>
    checkOp(device, {
      op: (x, w) => rmsNorm(x, w as typeof x, 1e-3),
      reference: (x, w) => normalise(x, width, 1e-3, false).map((z, i) => z * (w?.[i % width] ?? 0)),
      inputs: [x, weight],
    }));

  test("layerNorm matches float64, and its gradients", () =>
    checkOp(device, {
      op: (x, w, b) => layerNorm(x, w, b, 1e-3),
      reference: (x, w, b) =>
        normalise(x, width, 1e-3, true).map((z, i) => z * (w?.[i % width] ?? 0) + (b?.[i % width] ?? 0)),
      inputs: [x, weight, bias],
    }));

  test("layerNorm needs neither weight nor bias", async () => {
    await checkOp(device, {
      op: (x) => layerNorm(x, undefined, undefined, 1e-3),
      reference: (x) => normalise(x, width, 1e-3, true),
      inputs: [x],
    });
    await checkOp(device, {
      op: (x, b) => layerNorm(x, undefined, b, 1e-3),
      reference: (x, b) => normalise(x, width, 1e-3, true).map((z, i) => z + (b?.[i % width] ?? 0)),
      inputs: [x, bias],
    });
  });
});

test("a large mean does not cost layerNorm its digits", async () => {
  const x = Float32Array.from({ length: 64 }, (_, i) => 10_000 + (i % 2)); // exact in f32: mean 10,000.5, deviation 0.5
  const y = await layerNorm(tensor(device, x, [1, 64]), undefined, undefined, 0).read();
  expectClose(
    "y",
    y,
    Array.from(x, (_, i) => (i % 2 === 0 ? -1 : 1)),
    1e-6,
  );
});

test("a row of zeros gives zeros, and the bias", async () => {
  const zeros = tensor(device, new Float32Array(10), [2, 5]);
  const five = tensor(device, [1, 2, 3, 4, 5]);
  expect(Array.from(await rmsNorm(zeros, five).read())).toEqual(new Array(10).fill(0));
  expect(Array.from(await layerNorm(zeros, five, five).read())).toEqual([1, 2, 3, 4, 5, 1, 2, 3, 4, 5]);
});

test("no rows give no rows", async () => {
  expect((await rmsNorm(tensor(device, [], [0, 3]), tensor(device, [1, 1, 1])).read()).length).toBe(0);
});

test("a weight of another length is refused", () => {
  const x = tensor(device, new Float32Array(6), [2, 3]);
  const weight = tensor(device, [1, 1]);
  expect(() => rmsNorm(x, weight)).toThrow(ShapeError);
  expect(() => rmsNorm(x, weight)).toThrow("rmsNorm: weight has shape [2], expected [3]");
  expect(() => layerNorm(x, undefined, weight)).toThrow("layerNorm: bias has shape [2], expected [3]");
});

test("rows shared through workgroup memory agree with rows shared by a subgroup", async () => {
  const shape = [5, 150];
  const [x, dy] = [1, 2].map((seed) => tensor(device, Float32Array.from(uniformArray(750, seed)), shape));
  const options = { centred: true, epsilon: 1e-5 };
  const [own, plain] = [device.subgroupSize, 0].map((subgroupSize) => {
    const { y, stats } = normForward(x as typeof y, options, subgroupSize);
    return [y.read(), normBackward(x as typeof y, dy as typeof y, stats, options, subgroupSize).read()];
  });
  expectClose("y", (await plain?.[0]) ?? [], (await own?.[0]) ?? [], 1e-6);
  expectClose("dx", (await plain?.[1]) ?? [], (await own?.[1]) ?? [], 1e-6);
});
