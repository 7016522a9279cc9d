import { checkOp, testDevice } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { ShapeError } from "../../src/device/errors.ts";
import { swiglu } from "../../src/ops/swiglu.ts";
import { tensor } from "../../src/tensor/index.ts";

const device = await testDevice();
const silu = (x: number) => x / (1 + Math.exp(-x));

describe("swiglu is silu(gate) · up, and so are its gradients", () => {
  test.each([[[1]], [[3, 5]], [[2, 3, 8]], [[7, 67]]])("of shape %j", (shape) =>
    checkOp(device, {
      op: swiglu,
      reference: (gate, up) => gate.map((g, i) => silu(g) * (up[i] ?? 0)),
      inputs: [
        { shape, low: -6, high: 6 },
        { shape, low: -2, high: 2 },
      ],
      tolerance: 5e-6,
    }),
  );

  test("of one tensor as gate and up", () =>
    checkOp(device, {
      op: (x) => swiglu(x, x),
      reference: (x) => x.map((value) => value * silu(value)),
      inputs: [{ shape: [9], low: -3, high: 3 }],
    }));
});

test("large gates stay finite", async () => {
  const y = swiglu(tensor(device, [1e4, -1e4, 1e30, -1e30]), tensor(device, [2, 2, 2, 2]));
  const [high, low, higher, lower] = await y.read();
  expect([high, higher]).toEqual([2e4, Math.fround(2e30)]);
  expect(Math.abs(low ?? NaN)).toBeLessThan(1e-25);
  expect(Math.abs(lower ?? NaN)).toBeLessThan(1);
});

test("shapes that differ are refused", () => {
  expect(() => swiglu(tensor(device, [1, 2]), tensor(device, [1]))).toThrow(ShapeError);
});
