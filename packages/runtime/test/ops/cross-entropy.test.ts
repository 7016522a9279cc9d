import { checkOp, expectClose, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { ShapeError, ValueError } from "../../src/device/errors.ts";
import { crossEntropyBackward, crossEntropyForward } from "../../src/kernels/cross-entropy.ts";
import { type CrossEntropyOptions, crossEntropy, crossEntropyRows } from "../../src/ops/cross-entropy.ts";
import { Tape } from "../../src/ops/index.ts";
import { type Tensor, tensor } from "../../src/tensor/index.ts";

const device = await testDevice();
const IGNORED = 0xffff_ff9c; // -100 as u32

/** Weighted loss of each row, in float64. */
function rowLosses(x: Float64Array, targets: Uint32Array, smoothing: number, mask?: Float32Array): number[] {
  const width = x.length / targets.length;
  return Array.from(targets, (target, n) => {
    if (target === IGNORED) return 0;
    const row = x.slice(n * width, (n + 1) * width);
    const high = Math.max(...row);
    const logSum = high + Math.log(row.reduce((sum, value) => sum + Math.exp(value - high), 0));
    const average = row.reduce((a, b) => a + b, 0) / width;
    return (mask?.[n] ?? 1) * (logSum - (1 - smoothing) * (row[target] ?? 0) - smoothing * average);
  });
}

const someTargets = (rows: number, width: number) => Uint32Array.from({ length: rows }, (_, n) => (7 * n + 3) % width);
const total = (values: ArrayLike<number>) => Array.from(values).reduce((a, b) => a + b, 0);

describe("crossEntropy matches float64, and its gradient", () => {
  test.each([
    [1, 1],
    [1, 5],
    [6, 2],
    [5, 67],
    [130, 9],
    [3, 300],
  ])("%i rows of %i classes", async (rows, width) => {
    const targets = someTargets(rows, width);
    const inputs = [{ shape: [rows, width], low: -4, high: 4 }];
    const onDevice = tensor(device, targets);
    await checkOp(device, {
      op: (x) => crossEntropy(x, onDevice),
      reference: (x) => [total(rowLosses(x, targets, 0)) / rows],
      inputs,
    });
    await checkOp(device, {
      op: (x) => crossEntropyRows(x, onDevice, { labelSmoothing: 0.1 }),
      reference: (x) => rowLosses(x, targets, 0.1),
      inputs,
    });
  });

  test("ignored rows and masks leave the mean over what counts", async () => {
    const targets = Uint32Array.of(2, IGNORED, 0, 4, 1, IGNORED);
    const mask = Float32Array.of(1, 1, 0, 0.5, 2, 0);
    const options = { mask: tensor(device, mask, [2, 3]), labelSmoothing: 0.2 };
    const onDevice = tensor(device, targets, [2, 3]);
    const inputs = [{ shape: [2, 3, 5], low: -4, high: 4 }];
    await checkOp(device, {
      op: (x) => crossEntropy(x, onDevice, options),
      reference: (x) => [total(rowLosses(x, targets, 0.2, mask)) / 3.5], // 1 + 0.5 + 2
      inputs,
    });
    await checkOp(device, {
      op: (x) => crossEntropyRows(x, onDevice, options),
      reference: (x) => rowLosses(x, targets, 0.2, mask),
      inputs,
    });
  });
});

/** Loss and gradient with respect to the logits. */
async function lossAndGradient(x: Tensor<"f32">, targets: Tensor<"u32">, options: CrossEntropyOptions = {}) {
  const tape = new Tape([x]);
  const loss = tape.run(() => crossEntropy(x, targets, options));
  const gradient = tape.backward(loss).get(x);
  return { loss: await loss.item(), gradient: Array.from((await gradient?.read()) ?? []) };
}

describe("when no row counts", () => {
  const x = tensor(device, [1, 2, 3, 4, 5, 6], [2, 3]);
  const zero = { loss: 0, gradient: [0, 0, 0, 0, 0, 0] };

  test("because all are ignored, loss and gradient are 0", async () => {
    expect(await lossAndGradient(x, tensor(device, Uint32Array.of(7, 7)), { ignoreIndex: 7 })).toEqual(zero);
  });

  test("because the mask is 0, loss and gradient are 0", async () => {
    const mask = tensor(device, [0, 0]);
    expect(await lossAndGradient(x, tensor(device, Uint32Array.of(0, 1)), { mask })).toEqual(zero);
  });

  test("because there is none, the loss is 0", async () => {
    const none = await lossAndGradient(tensor(device, [], [0, 3]), tensor(device, new Uint32Array(0)));
    expect(none).toEqual({ loss: 0, gradient: [] });
  });
});

describe("a target that is no class", () => {
  const x = tensor(device, [1, 2, 3, 4, 5, 6], [2, 3]);
  const targets = tensor(device, Uint32Array.of(1, 3));

  test("makes its row NaN and no other", async () => {
    const tape = new Tape([x]);
    const losses = tape.run(() => crossEntropyRows(x, targets));
    const gradient = await tape
      .backward(losses, tensor(device, [1, 1]))
      .get(x)
      ?.read();
    expect(Array.from(await losses.read(), Number.isNaN)).toEqual([false, true]);
    expect(Array.from(gradient ?? [], Number.isNaN)).toEqual([false, false, false, true, true, true]);
  });

  test("does not matter in a row that the mask leaves out", async () => {
    const { loss, gradient } = await lossAndGradient(x, targets, { mask: tensor(device, [1, 0]) });
    expect(loss).toBeCloseTo(Math.log(Math.exp(-1) + 1 + Math.exp(1)), 5); // of (1, 2, 3), target 2
    expect(gradient.slice(3)).toEqual([0, 0, 0]);
  });
});

test("logits of ±10,000 do not overflow", async () => {
  const x = tensor(device, [1e4, -1e4, 0, -1e4, 1e4, 1e4], [2, 3]);
  const losses = await crossEntropyRows(x, tensor(device, Uint32Array.of(1, 2))).read();
  expectClose("loss", losses, [2e4, Math.LN2], 1e-7);
});

test("a uniform row costs log V", async () => {
  const x = tensor(device, new Float32Array(50), [1, 50]);
  expect(await crossEntropy(x, tensor(device, Uint32Array.of(49)), { labelSmoothing: 0.3 }).item()).toBeCloseTo(
    Math.log(50),
    5,
  );
});

test("rows shared through workgroup memory agree with rows shared by a subgroup", async () => {
  const x = tensor(device, Float32Array.from(uniformArray(450, 1, -4, 4)), [3, 150]);
  const targets = tensor(device, someTargets(3, 150));
  const scales = tensor(device, [1, 0.5, 0]);
  const [own, plain] = [device.subgroupSize, 0].map((subgroupSize) => {
    const options = { labelSmoothing: 0.1 };
    const { losses, stats } = crossEntropyForward(x, targets, options, subgroupSize);
    return [losses.read(), crossEntropyBackward(x, targets, stats, scales, options, subgroupSize).read()];
  });
  expectClose("losses", (await plain?.[0]) ?? [], (await own?.[0]) ?? [], 1e-6);
  expectClose("dx", (await plain?.[1]) ?? [], (await own?.[1]) ?? [], 1e-6);
});

test("shapes and smoothing that do not fit are refused", () => {
  const x = tensor(device, new Float32Array(6), [2, 3]);
  const targets = tensor(device, new Uint32Array(2));
  expect(() => crossEntropy(x, tensor(device, new Uint32Array(3)))).toThrow(ShapeError);
  expect(() => crossEntropyRows(x, tensor(device, new Uint32Array(3)))).toThrow(
    "crossEntropyRows: targets has shape [3], expected [2]",
  );
  expect(() => crossEntropy(x, targets, { mask: tensor(device, [1]) })).toThrow("mask has shape [1], expected [2]");
  expect(() => crossEntropy(tensor(device, [], [2, 0]), targets)).toThrow("at least one class");
  expect(() => crossEntropy(x, targets, { labelSmoothing: 1 })).toThrow(ValueError);
});
