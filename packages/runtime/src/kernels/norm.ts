import { defineKernel, grid1d } from "../device/kernel.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import code from "./norm.wgsl";
import { reduce } from "./reduce.ts";
import { rowDefines } from "./row-sum.ts";
import rowSum from "./row-sum.wgsl";

type F32 = Tensor<"f32">;

const kernel = defineKernel("norm", code, { "row-sum": rowSum });

export interface NormOptions {
  /** Subtract the row's mean first (layer normalisation). */
  centred: boolean;
  epsilon: number;
  weight?: F32 | undefined;
  bias?: F32 | undefined;
}

/** Rows that one partial sum of a weight's gradient covers. */
const CHUNK = 64;

function common(x: F32, { epsilon, weight, bias }: NormOptions) {
  const width = x.axis(-1);
  return {
    rows: x.size / (width || 1),
    width,
    epsilon,
    has_weight: weight ? 1 : 0,
    has_bias: bias ? 1 : 0,
    chunk: CHUNK,
  };
}

/** @returns y, and each row's centre and scale [rows, 2] */
export function normForward(
  x: F32,
  options: NormOptions,
  subgroupSize = x.device.subgroupSize,
): { y: F32; stats: F32 } {
  const params = common(x, options);
  const y = empty(x.device, x.shape, "f32");
  const stats = empty(x.device, [params.rows, 2], "f32");
  const { weight = x, bias = x, centred } = options;
  x.device.dispatch({
    kernel,
    defines: { FORWARD: true, CENTRED: centred, ...rowDefines(params.width, subgroupSize) },
    bindings: [x, weight, bias, y, stats].map((tensor) => tensor.binding()),
    params,
    grid: x.size === 0 ? [0] : grid1d(params.rows, 1),
    bytes: 8 * x.size,
  });
  return { y, stats };
}

export function normBackward(
  x: F32,
  dy: F32,
  stats: F32,
  options: NormOptions,
  subgroupSize = x.device.subgroupSize,
): F32 {
  const params = common(x, options);
  const dx = empty(x.device, x.shape, "f32");
  const { weight = x, centred } = options;
  x.device.dispatch({
    kernel,
    defines: { BACKWARD: true, CENTRED: centred, ...rowDefines(params.width, subgroupSize) },
    bindings: [x, weight, dy, stats, dx].map((tensor) => tensor.binding()),
    params,
    grid: x.size === 0 ? [0] : grid1d(params.rows, 1),
    bytes: 12 * x.size,
  });
  return dx;
}

/** @returns the gradients of weight and bias [width], summed over rows in a fixed order */
export function normWeightBackward(x: F32, dy: F32, stats: F32, options: NormOptions): { weight: F32; bias: F32 } {
  const params = common(x, options);
  const defines = { WEIGHT: true, ...rowDefines(params.width, x.device.subgroupSize) };
  const chunks = Math.max(1, Math.ceil(params.rows / CHUNK));
  const partial = empty(x.device, [chunks, params.width], "f32");
  const partialBias = empty(x.device, [chunks, params.width], "f32");
  x.device.dispatch({
    kernel,
    defines,
    bindings: [x, x, dy, stats, partial, partialBias].map((tensor) => tensor.binding()),
    params,
    grid: [Math.ceil(params.width / (defines.WIDE ? 256 : 64)), chunks],
    bytes: 8 * x.size,
  });
  const result = { weight: reduce(partial, "sum", 0), bias: reduce(partialBias, "sum", 0) };
  partial.dispose();
  partialBias.dispose();
  return result;
}
