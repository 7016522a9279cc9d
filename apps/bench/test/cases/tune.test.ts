import { requestDevice } from "@moebius/runtime/device";
import { describe, expect, test } from "vitest";
import { measureTuning, type TunedShape, threshold } from "../../src/cases/tune.ts";

describe("threshold", () => {
  const shapes = (...ratios: number[]) => ratios.map((ratio, size) => ({ size, ratio }));

  test("is the size from which the kernel wins", () => {
    expect(threshold(shapes(0.5, 0.9, 1.1, 1.3))).toBe(2);
  });

  test("a loss in the middle is accepted when more is won below it", () => {
    expect(threshold(shapes(0.5, 1.5, 0.9, 1.3))).toBe(1);
    expect(threshold(shapes(0.5, 1.1, 0.5, 1.3))).toBe(3);
  });

  test("a kernel that never wins is never taken", () => {
    expect(threshold(shapes(0.5, 0.9, 0.99))).toBeNull();
  });
});

test("measureTuning measures every choice and leaves the device's tuning as it was", async () => {
  using device = await requestDevice({ onNotice: false });
  const before = device.tuning;
  const shapes: TunedShape[] = [];
  const tuning = await measureTuning(device, { rounds: 1, onShape: (shape) => shapes.push(shape) });
  expect(new Set(shapes.map(({ choice }) => choice))).toEqual(new Set(Object.keys(tuning)));
  for (const { ratio } of shapes) expect(ratio).toBeGreaterThan(0);
  expect(device.tuning).toBe(before);
}, 120_000);
