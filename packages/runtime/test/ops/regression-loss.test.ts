import { checkOp, testDevice } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { huberLoss, mseLoss } from "../../src/ops/regression-loss.ts";
import { Tape } from "../../src/ops/tape.ts";
import { tensor } from "../../src/tensor/index.ts";

const device = await testDevice();
const huber = (d: number) => (Math.abs(d) < 2 ? 0.5 * d * d : 2 * (Math.abs(d) - 1));
const square = (d: number) => d * d;
const shape = [4, 9];
const target = Float32Array.from({ length: 36 }, (_, i) => Math.sin(i) * 3);
const mask = Float32Array.from({ length: 4 }, (_, i) => i % 2);

describe("regression losses match float64 and their gradient", () => {
  const inputs = [{ shape, low: -4, high: 4 }];
  const mean = (values: Float64Array, f: (d: number) => number, weight: (i: number) => number) => {
    const weights = Array.from(values, (_, i) => weight(i));
    return [
      values.reduce((sum, value, i) => sum + (weights[i] ?? 0) * f(value - (target[i] ?? 0)), 0) /
        weights.reduce((a, b) => a + b, 0),
    ];
  };

  test("plain means", async () => {
    const y = tensor(device, target, shape);
    await checkOp(device, {
      op: (x) => huberLoss(x, y, { delta: 2 }),
      reference: (x) => mean(x, huber, () => 1),
      inputs,
    });
    await checkOp(device, { op: (x) => mseLoss(x, y), reference: (x) => mean(x, square, () => 1), inputs });
  });

  test("with a mask that broadcasts, errors and elements are weighted alike", async () => {
    const y = tensor(device, target, shape);
    const m = tensor(device, mask, [4, 1]);
    const weight = (i: number) => mask[Math.floor(i / 9)] ?? 0;
    await checkOp(device, {
      op: (x) => huberLoss(x, y, { delta: 2, mask: m }),
      reference: (x) => mean(x, huber, weight),
      inputs,
    });
    await checkOp(device, { op: (x) => mseLoss(x, y, { mask: m }), reference: (x) => mean(x, square, weight), inputs });
  });

  test("an empty mask gives a loss of 0 and no gradient", async () => {
    const x = tensor(device, [1, 2, 3]);
    const tape = new Tape([x]);
    const loss = tape.run(() => huberLoss(x, tensor(device, [5, 5, 5]), { delta: 2, mask: tensor(device, [0, 0, 0]) }));
    expect(await loss.item()).toBe(0);
    expect([...((await tape.backward(loss).get(x)?.read()) ?? [])].map(Math.abs)).toEqual([0, 0, 0]);
  });
});
