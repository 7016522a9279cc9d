import { gemm } from "../../kernels/gemm.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { tensor } from "../../tensor/tensor.ts";
import { attention } from "../attention.ts";
import { crossEntropyRows } from "../cross-entropy.ts";
import { add, gelu, multiply, silu } from "../elementwise.ts";
import { permute } from "../layout.ts";
import { linear, matmul } from "../matmul.ts";
import { layerNorm, rmsNorm } from "../norm.ts";
import { max, sum } from "../reduction.ts";
import { huberLoss } from "../regression-loss.ts";
import { rotary, rotaryTables } from "../rotary.ts";
import { logSoftmax, softmax } from "../softmax.ts";
import { swiglu } from "../swiglu.ts";
import { unfold } from "../unfold.ts";
import { at, attentionReference, product, rowsOf, sigmoid } from "./references.ts";
import type { SelfTestCase } from "./self-test.ts";

type F32 = Tensor<"f32">;

/** A row-wise op on [rows, width]. */
const rowCase = (family: string, op: (x: F32) => F32, row: (x: number[]) => number[], width = 37): SelfTestCase => ({
  family,
  tolerance: 1e-5,
  inputs: [[3, width]],
  run: (_, x) => [op(x)],
  reference: (x) => [rowsOf(x, width).flatMap(row)],
  differentiate: true,
});

const exps = (row: number[]) => {
  const total = row.reduce((sum, x) => sum + Math.exp(x), 0);
  return row.map((x) => Math.exp(x) / total);
};

const linearCase = (family: string, rows: number, inner: number, columns: number): SelfTestCase => ({
  family,
  tolerance: 1e-5,
  inputs: [[rows, inner], [columns, inner], [columns]],
  run: (_, x, weight, bias) => [linear(x, weight as F32, bias)],
  reference: (x, weight, bias) => [
    product(x, weight as Float64Array, { rows, inner, columns }).map((y, i) => y + at(bias, i % columns)),
  ],
  differentiate: true,
});

const attentionCase = (family: string, queries: number, keys: number): SelfTestCase => ({
  family,
  tolerance: 2e-5,
  inputs: [
    [1, queries, 4, 8],
    [1, keys, 2, 8],
    [1, keys, 2, 8],
  ],
  run: (_, q, k, v) => [attention(q, k as F32, v as F32, { causal: true })],
  reference: (q, k, v) => [
    attentionReference(q, k as Float64Array, v as Float64Array, { queries, keys, heads: 4, shared: 2, dim: 8 }),
  ],
  differentiate: true,
});

export const DENSE_CASES: readonly SelfTestCase[] = [
  {
    family: "map, vectors",
    tolerance: 1e-5,
    inputs: [
      [4, 8],
      [4, 8],
    ],
    run: (_, a, b) => [swiglu(silu(a), b as F32)],
    reference: (a, b) => [a.map((x) => x * sigmoid(x)).map((y, i) => y * sigmoid(y) * at(b, i))],
    differentiate: true,
  },
  {
    family: "map, broadcast",
    tolerance: 1e-5,
    inputs: [
      [3, 1, 5],
      [1, 7, 5],
    ],
    run: (_, a, b) => [add(multiply(a, b as F32), b as F32)],
    reference: (a, b) => [
      Float64Array.from({ length: 105 }, (_, i) => {
        const y = at(b, i % 35);
        return at(a, 5 * Math.floor(i / 35) + (i % 5)) * y + y;
      }),
    ],
    differentiate: true,
  },
  {
    family: "map, gelu",
    tolerance: 1e-5,
    inputs: [[33]],
    run: (_, x) => [gelu(x)],
    reference: (x) => [x.map((v) => 0.5 * v * (1 + erf(v / Math.SQRT2)))],
  },
  {
    family: "reduce",
    tolerance: 1e-5,
    inputs: [[2, 700]],
    run: (_, x) => [sum(x, 1), max(x)],
    reference: (x) => [rowsOf(x, 700).map((row) => row.reduce((a, b) => a + b)), [Math.max(...x)]],
  },
  {
    family: "copy",
    tolerance: 0,
    inputs: [[3, 4, 5]],
    run: (_, x) => [permute(x, [2, 0, 1])],
    reference: (x) => [Float64Array.from({ length: 60 }, (_, i) => at(x, 5 * (i % 12) + Math.floor(i / 12)))],
  },
  {
    family: "unfold",
    tolerance: 0,
    inputs: [[1, 6]],
    run: (_, x) => [unfold(x, 3)],
    reference: (x) => [Float64Array.from({ length: 18 }, (_, i) => x[Math.floor(i / 3) + (i % 3)] ?? 0)],
  },
  linearCase("gemm, quads", 36, 20, 24),
  linearCase("gemm, odd sizes", 33, 7, 11),
  linearCase("gemm, few rows", 3, 16, 20),
  {
    ...linearCase("gemm, packed operands", 37, 12, 41),
    run: (_, x, weight, bias) => [
      gemm(x, weight as F32, { order: "out-major", bias, packs: x.device.subgroupSize > 0 }),
    ],
    differentiate: false,
  },
  {
    family: "gemm, batched",
    tolerance: 1e-5,
    inputs: [
      [2, 9, 5],
      [2, 5, 6],
    ],
    run: (_, a, b) => [matmul(a, b as F32)],
    reference: (a, b) => [
      Float64Array.from({ length: 108 }, (_, i) => {
        const [batch, row, column] = [Math.floor(i / 54), Math.floor(i / 6) % 9, i % 6];
        let y = 0;
        for (let k = 0; k < 5; k++) y += at(a, 45 * batch + 5 * row + k) * at(b, 30 * batch + 6 * k + column);
        return y;
      }),
    ],
    differentiate: true,
  },
  rowCase("softmax", softmax, exps),
  rowCase("softmax, logarithm", logSoftmax, (row) => exps(row).map(Math.log)),
  {
    family: "cross-entropy",
    tolerance: 1e-5,
    inputs: [[2, 19]],
    run: (device, x) => [crossEntropyRows(x, tensor(device, Uint32Array.of(3, 18)))],
    reference: (x) => [rowsOf(x, 19).map((row, n) => -Math.log(exps(row)[n === 0 ? 3 : 18] ?? 0))],
    differentiate: true,
  },
  {
    family: "norm, RMS",
    tolerance: 1e-5,
    inputs: [[5, 24], [24]],
    run: (_, x, weight) => [rmsNorm(x, weight as F32)],
    reference: (x, weight) => [
      rowsOf(x, 24).flatMap((row) => {
        const scale = Math.sqrt(row.reduce((sum, v) => sum + v * v, 0) / 24 + 1e-6);
        return row.map((v, i) => (v / scale) * at(weight, i));
      }),
    ],
    differentiate: true,
  },
  {
    family: "norm, layer",
    tolerance: 1e-5,
    inputs: [[5, 23], [23], [23]],
    run: (_, x, weight, bias) => [layerNorm(x, weight, bias)],
    reference: (x, weight, bias) => [
      rowsOf(x, 23).flatMap((row) => {
        const mean = row.reduce((a, b) => a + b) / 23;
        const scale = Math.sqrt(row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / 23 + 1e-5);
        return row.map((v, i) => ((v - mean) / scale) * at(weight, i) + at(bias, i));
      }),
    ],
    differentiate: true,
  },
  {
    family: "rotary",
    tolerance: 1e-5,
    inputs: [[1, 5, 2, 6]],
    run: (device, x) => {
      const { cos, sin } = rotaryTables(device, { maxPositions: 5, dim: 6 });
      return [rotary(x, cos, sin)];
    },
    reference: (x) => [
      x.map((v, i) => {
        const [position, j] = [Math.floor(i / 12), i % 6];
        const angle = position * 10_000 ** ((-2 * (j % 3)) / 6);
        return v * Math.cos(angle) + (j < 3 ? -at(x, i + 3) : at(x, i - 3)) * Math.sin(angle);
      }),
    ],
    differentiate: true,
  },
  attentionCase("attention", 13, 13),
  attentionCase("attention, one query", 1, 17),
  {
    family: "huber loss",
    tolerance: 1e-5,
    inputs: [[21], [21]],
    run: (_, x, target) => [huberLoss(x, target as F32, { delta: 0.5 })],
    reference: (x, target) => {
      const loss = (d: number) => (d < 0.5 ? 0.5 * d * d : 0.5 * (d - 0.25));
      return [[x.reduce((total, v, i) => total + loss(Math.abs(v - at(target, i))), 0) / 21]];
    },
  },
];

/** By its Taylor series, which converges fast on ±1. */
function erf(x: number): number {
  let total = 0;
  for (let n = 0, term = x; n < 30; n++, term *= (-x * x) / n) total += term / (2 * n + 1);
  return (2 / Math.sqrt(Math.PI)) * total;
}
