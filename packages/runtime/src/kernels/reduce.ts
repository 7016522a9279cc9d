import { defineKernel, grid1d } from "../device/kernel.ts";
import { resolveAxis, sizeOf } from "../tensor/shape.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import { viewOf } from "../tensor/views.ts";
import code from "./reduce.wgsl";

const kernel = defineKernel("reduce", code);

export type Reduction = "sum" | "mean" | "max";

/** Longer axes are cut into chunks when there are too few outputs to keep the device busy; also bounds the rounding error. */
const CHUNK = 256;
const ENOUGH_OUTPUTS = 2048;

/**
 * Reduces one axis, or all axes (`axis` undefined, to a scalar).
 * @param keepAxis leaves an axis of length 1 in its place
 */
export function reduce(x: Tensor<"f32">, reduction: Reduction, axis?: number, keepAxis = false): Tensor<"f32"> {
  const at = axis === undefined ? 0 : resolveAxis(reduction, axis, x.rank);
  const length = axis === undefined ? x.size : x.axis(at);
  const outer = axis === undefined ? 1 : sizeOf(x.shape.slice(0, at));
  const inner = axis === undefined ? 1 : sizeOf(x.shape.slice(at + 1));
  const shape = axis === undefined ? [] : [...x.shape.slice(0, at), ...(keepAxis ? [1] : []), ...x.shape.slice(at + 1)];
  const chunks = outer * inner < ENOUGH_OUTPUTS && length > 2 * CHUNK ? Math.ceil(length / CHUNK) : 1;
  const scale = reduction === "mean" ? 1 / length : 1;
  if (chunks === 1) return pass(x, reduction, shape, { outer, length, inner, chunks: 1, chunk: length, scale });
  const partial = pass(x, reduction, [outer, chunks, inner], { outer, length, inner, chunks, chunk: CHUNK, scale });
  const rest = reduce(partial, reduction === "max" ? "max" : "sum", 1);
  const result = viewOf(rest, shape);
  partial.dispose();
  rest.dispose();
  return result;
}

interface Pass {
  outer: number;
  length: number;
  inner: number;
  chunks: number;
  chunk: number;
  scale: number;
}

function pass(
  x: Tensor<"f32">,
  reduction: Reduction,
  shape: readonly number[],
  { outer, length, inner, chunks, chunk, scale }: Pass,
): Tensor<"f32"> {
  const out = empty(x.device, shape, "f32");
  x.device.dispatch({
    kernel,
    defines: { MAX: reduction === "max" },
    bindings: [x.binding(), out.binding()],
    params: { outputs: outer * chunks * inner, length, inner, chunks, chunk, scale },
    grid: outer * inner === 0 ? [0] : grid1d(outer * chunks * inner, 64),
    bytes: 4 * (x.size + out.size),
    flops: x.size,
  });
  return out;
}
