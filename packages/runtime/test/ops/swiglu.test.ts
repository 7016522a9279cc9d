import { checkOp, testDevice } from "@moebius/testing";
import { expect, test } from "vitest";
import { swiglu } from "../../src/ops/swiglu.ts";
import { tensor } from "../../src/tensor/index.ts";

const device = await testDevice();

test("swiglu is silu(gate) · up, with both gradients", async () => {
  await checkOp(device, {
    op: swiglu,
    reference: (gate, up) => gate.map((g, i) => (g / (1 + Math.exp(-g))) * (up[i] ?? 0)),
    inputs: [{ shape: [3, 7], low: -4, high: 4 }, { shape: [3, 7] }],
  });
});

test("swiglu needs two equal shapes", () => {
  expect(() => swiglu(tensor(device, [1, 2]), tensor(device, [1]))).toThrow("swiglu: up has shape [1], expected [2]");
});
