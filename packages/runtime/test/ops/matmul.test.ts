import { checkOp, expectClose, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { linear, linearSwiglu, matmul } from "../../src/ops/matmul.ts";
import { tensor } from "../../src/tensor/index.ts";

const device = await testDevice();

function product(
  a: Float64Array,
  b: Float64Array,
  m: number,
  k: number,
  n: number,
  at = (row: number, column: number) => row * n + column,
): number[] {
  return Array.from({ length: m * n }, (_, i) => {
    let sum = 0;
    for (let j = 0; j < k; j++) sum += (a[Math.floor(i / n) * k + j] ?? 0) * (b[at(j, i % n)] ?? 0);
    return sum;
  });
}

describe("matmul matches float64 and its gradients", () => {
  test.each([
    [1, 1, 1],
    [3, 5, 2],
    [8, 16, 4],
    [33, 12, 40],
    [70, 9, 33],
  ])("%i x %i times %i columns", async (m, k, n) => {
    await checkOp(device, {
      op: matmul,
      reference: (a, b) => product(a, b, m, k, n),
      inputs: [{ shape: [m, k] }, { shape: [k, n] }],
    });
  });

  test("leading axes of both are a batch", async () => {
    const reference = (a: Float64Array, b: Float64Array) =>
      [0, 1, 2].flatMap((i) => product(a.slice(i * 35, i * 35 + 35), b.slice(i * 28, i * 28 + 28), 5, 7, 4));
    await checkOp(device, { op: matmul, reference, inputs: [{ shape: [3, 5, 7] }, { shape: [3, 7, 4] }] });
  });

  test("inner lengths that differ are an error that shows both shapes", () => {
    const [a, b] = [tensor(device, new Float32Array(6), [2, 3]), tensor(device, new Float32Array(8), [4, 2])];
    expect(() => matmul(a, b)).toThrow("matmul: [2, 3] times in-major [4, 2]: inner lengths 3 and 4 differ");
  });
});

describe("linear matches float64 and its gradients", () => {
  test.each([
    [2, 3, 4, 8],
    [1, 5, 7, 1],
    [4, 10, 12, 20],
  ])("[%i, %i, %i] to %i", async (batch, rows, k, n) => {
    const reference = (x: Float64Array, w: Float64Array, b?: Float64Array) =>
      product(x, w, batch * rows, k, n, (j, column) => column * k + j).map((y, i) => y + (b?.[i % n] ?? 0));
    await checkOp(device, {
      op: (x, w) => linear(x, w),
      reference,
      inputs: [{ shape: [batch, rows, k] }, { shape: [n, k] }],
    });
    await checkOp(device, {
      op: linear,
      reference,
      inputs: [{ shape: [batch, rows, k] }, { shape: [n, k] }, { shape: [n] }],
    });
  });
});

describe("linearSwiglu", () => {
  const [rows, inner, columns] = [5, 6, 7];
  const halves = (x: Float64Array, gate: Float64Array, up: Float64Array) => {
    const byRow = (row: number, column: number) => column * inner + row;
    const u = product(x, up, rows, inner, columns, byRow);
    return product(x, gate, rows, inner, columns, byRow).map((g, i) => (g / (1 + Math.exp(-g))) * (u[i] ?? 0));
  };
  const shapes = [
    [rows, inner],
    [columns, inner],
    [columns, inner],
  ];

  test("matches float64 and its gradients", () =>
    checkOp(device, {
      op: (x, gate, up) => linearSwiglu(x, gate, up),
      reference: halves,
      inputs: shapes.map((shape) => ({ shape })),
    }));

  test("matches float64 where no gradient is wanted and one kernel does it", async () => {
    const data = shapes.map(([a = 1, b = 1], seed) => uniformArray(a * b, seed + 1));
    const [x, gate, up] = data.map((values, i) => tensor(device, Float32Array.from(values), shapes[i] ?? []));
    if (!x || !gate || !up) throw new Error("three operands");
    const [X, G, U] = data as [Float64Array, Float64Array, Float64Array];
    expectClose("y", await linearSwiglu(x, gate, up).read(), halves(X, G, U), 2e-6);
  });
});
