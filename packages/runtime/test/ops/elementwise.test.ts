import { checkOp, testDevice } from "@moebius/testing";
import { describe, test } from "vitest";
import * as ops from "../../src/ops/elementwise.ts";

const device = await testDevice();
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const erf = (x: number) => {
  let sum = x;
  for (let n = 1, term = x; n < 60; n++) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
};

const UNARY: [name: string, op: typeof ops.exp, reference: (x: number) => number, low?: number, high?: number][] = [
  ["exp", ops.exp, Math.exp],
  ["log", ops.log, Math.log, 0.2, 3],
  ["sqrt", ops.sqrt, Math.sqrt, 0.1, 4],
  ["square", ops.square, (x) => x * x],
  ["abs", ops.abs, Math.abs, 0.1, 1],
  ["negate", ops.negate, (x) => -x],
  ["reciprocal", ops.reciprocal, (x) => 1 / x, 0.5, 2],
  ["sin", ops.sin, Math.sin],
  ["cos", ops.cos, Math.cos],
  ["tanh", ops.tanh, Math.tanh, -3, 3],
  ["sigmoid", ops.sigmoid, sigmoid, -6, 6],
  ["softplus", ops.softplus, (x) => Math.log1p(Math.exp(x)), -9, 9],
  [
    "smoothStep",
    (x) => ops.smoothStep(x, 4),
    (x) => (x <= -2 ? 0 : x >= 2 ? 1 : (-2 * x ** 3) / 64 + (3 * x) / 8 + 0.5),
    -3,
    3,
  ],
  ["normalCdf", ops.normalCdf, (x) => 0.5 * (1 + erf(x / Math.SQRT2)), -3, 3],
  ["relu", ops.relu, (x) => Math.max(x, 0), 0.01, 1],
  ["silu", ops.silu, (x) => x * sigmoid(x), -6, 6],
  ["gelu", ops.gelu, (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)), -3, 3],
  ["geluTanh", ops.geluTanh, (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))), -3, 3],
  ["scale", (x) => ops.scale(x, -2.5), (x) => -2.5 * x],
  ["addScalar", (x) => ops.addScalar(x, 3), (x) => x + 3],
  ["clamp", (x) => ops.clamp(x, -2, 2), (x) => x],
];

describe("unary ops match float64 and their gradient", () => {
  test.each(UNARY)("%s", async (name, op, reference, low, high) => {
    const tolerance = name === "sin" || name === "cos" ? 3e-4 : 5e-6; // SwiftShader's sine errs by 2e-4
    await checkOp(device, {
      op,
      reference: (x) => x.map(reference),
      inputs: [{ shape: [3, 7], ...(low === undefined ? {} : { low, high: high ?? 1 }) }],
      tolerance,
      gradientTolerance: name === "sin" || name === "cos" ? 1e-3 : 1e-4,
    });
  });
});

const BINARY: [name: string, op: typeof ops.add, reference: (a: number, b: number) => number][] = [
  ["add", ops.add, (a, b) => a + b],
  ["subtract", ops.subtract, (a, b) => a - b],
  ["multiply", ops.multiply, (a, b) => a * b],
  ["divide", ops.divide, (a, b) => a / b],
  ["maximum", ops.maximum, Math.max],
  ["minimum", ops.minimum, Math.min],
];
/** shapes of a and b, and where element i of [2, 3, 4] finds its b. */
const BROADCASTS: [name: string, shape: number[], index: (i: number) => number][] = [
  ["the same shape", [2, 3, 4], (i) => i],
  ["a scalar", [], () => 0],
  ["a trailing axis", [4], (i) => i % 4],
  ["leading axes", [2, 3, 1], (i) => Math.floor(i / 4)],
  ["a middle axis", [3, 1], (i) => Math.floor(i / 4) % 3],
  ["the outer axes", [2, 1, 4], (i) => 4 * Math.floor(i / 12) + (i % 4)],
];

describe("binary ops match float64 and their gradients", () => {
  const cases = BINARY.flatMap(([name, op, reference]) =>
    BROADCASTS.map(([how, shape, index]) => [`${name} with ${how}`, op, reference, shape, index] as const),
  );
  test.each(cases)("%s", async (_, op, reference, shape, index) => {
    await checkOp(device, {
      op,
      reference: (a, b) => a.map((x, i) => reference(x, b[index(i)] ?? 0)),
      inputs: [
        { shape: [2, 3, 4], low: 0.5, high: 2 },
        { shape, low: 2, high: 3 },
      ],
    });
  });
});

test("where takes a where the condition is not zero, b elsewhere", async () => {
  const { tensor } = await import("../../src/tensor/index.ts");
  const condition = tensor(device, Uint32Array.of(1, 0, 7, 0));
  await checkOp(device, {
    op: (a, b) => ops.where(condition, a, b),
    reference: (a, b) => a.map((x, i) => (i % 2 === 0 ? x : (b[i] ?? 0))),
    inputs: [{ shape: [4] }, { shape: [4] }],
  });
});
