import { checkOp, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { ShapeError } from "../../src/device/errors.ts";
import { Tape } from "../../src/ops/index.ts";
import { huberLoss, mseLoss } from "../../src/ops/regression-loss.ts";
import { sizeOf, tensor } from "../../src/tensor/index.ts";

const device = await testDevice();
const total = (values: ArrayLike<number>) => Array.from(values).reduce((a, b) => a + b, 0);
const square = (d: number) => d * d;
const huber = (delta: number) => (d: number) =>
  Math.abs(d) < delta ? 0.5 * d * d : delta * (Math.abs(d) - 0.5 * delta);

const LOSSES: [name: string, op: typeof huberLoss, each: (d: number) => number][] = [
  ["mseLoss", (p, t, { mask } = {}) => mseLoss(p, t, { mask }), square],
  ["huberLoss with delta 1", (p, t, { mask } = {}) => huberLoss(p, t, { mask }), huber(1)],
  ["huberLoss with delta 2", (p, t, { mask } = {}) => huberLoss(p, t, { delta: 2, mask }), huber(2)],
];

describe.each(LOSSES)("%s matches float64, and its gradient", (_, op, each) => {
  test.each([[[1]], [[3, 5]], [[7, 67]], [[4, 300]]])("over all of %j", async (shape) => {
    const target = uniformArray(sizeOf(shape), 9, -3, 3);
    const onDevice = tensor(device, Float32Array.from(target), shape);
    await checkOp(device, {
      op: (x) => op(x, onDevice),
      reference: (x) => [total(x.map((value, i) => each(value - (target[i] ?? 0)))) / x.length],
      inputs: [{ shape, low: -3, high: 3 }],
    });
  });

  test.each([
    ["the same shape", [3, 4, 5], (i: number) => i],
    ["a batch", [3, 1, 1], (i: number) => Math.floor(i / 20)],
    ["a row of numbers", [5], (i: number) => i % 5],
    ["the outer axes", [3, 1, 5], (i: number) => 5 * Math.floor(i / 20) + (i % 5)],
  ] as const)("under a mask of %s", async (_, maskShape, at) => {
    const target = uniformArray(60, 9, -3, 3);
    const onDevice = tensor(device, Float32Array.from(target), [3, 4, 5]);
    const mask = uniformArray(sizeOf(maskShape), 8, 0, 2).map((weight, i) => (i % 3 === 1 ? 0 : weight));
    const options = { mask: tensor(device, Float32Array.from(mask), maskShape) };
    const weight = (i: number) => mask[at(i)] ?? 0;
    await checkOp(device, {
      op: (x) => op(x, onDevice, options),
      reference: (x) => [
        total(x.map((value, i) => weight(i) * each(value - (target[i] ?? 0)))) / total(x.map((_, i) => weight(i))),
      ],
      inputs: [{ shape: [3, 4, 5], low: -3, high: 3 }],
    });
  });

  test("is 0 with zero gradients when the mask leaves nothing", async () => {
    const [prediction, target] = [tensor(device, [1, 2, 3]), tensor(device, [4, 4, 4])];
    const tape = new Tape([prediction]);
    const loss = tape.run(() => op(prediction, target, { mask: tensor(device, [0, 0, 0]) }));
    expect(await loss.item()).toBe(0);
    expect(Array.from((await tape.backward(loss).get(prediction)?.read()) ?? [])).toEqual([0, 0, 0]);
  });

  test("does not see a missing value that is masked", async () => {
    const [prediction, target] = [tensor(device, [1, 2, 3]), tensor(device, [1.5, NaN, 3])];
    const tape = new Tape([prediction]);
    const loss = tape.run(() => op(prediction, target, { mask: tensor(device, [1, 0, 1]) }));
    expect(await loss.item()).toBeCloseTo(each(-0.5) / 2, 6);
    const [first = 0, ...rest] = Array.from((await tape.backward(loss).get(prediction)?.read()) ?? []);
    expect(first).toBeLessThan(0);
    expect(rest).toEqual([0, 0]);
  });

  test("keeps no memory beyond its result", () => {
    const [prediction, target, mask] = [tensor(device, [1, 2]), tensor(device, [4, 4]), tensor(device, [1, 0])];
    const before = device.memory.use.inUseBytes;
    op(prediction, target, { mask }).dispose();
    expect(device.memory.use.inUseBytes).toBe(before);
  });
});

test("huberLoss of 3 with delta 2 is 2 (3 − 1) = 4", async () => {
  expect(await huberLoss(tensor(device, [3]), tensor(device, [0]), { delta: 2 }).item()).toBe(4);
});

test("shapes that do not fit are refused", () => {
  const [three, two] = [tensor(device, [1, 2, 3]), tensor(device, [1, 2])];
  expect(() => mseLoss(three, two)).toThrow(ShapeError);
  expect(() => mseLoss(three, two)).toThrow("mseLoss: target has shape [2], expected [3]");
  expect(() => huberLoss(three, three, { mask: two })).toThrow("huberLoss: shapes [2] and [3] do not broadcast");
  expect(() => huberLoss(three, three, { mask: tensor(device, new Float32Array(6), [2, 3]) })).toThrow("the mask");
});
