import { ShapeError } from "../device/errors.ts";
import { map } from "../kernels/map.ts";
import { softmaxBackward } from "../kernels/softmax.ts";
import { putAlong as putKernel, takeAlong as takeKernel } from "../kernels/take-along.ts";
import { FEW, softmaxTopK as softmaxTopKKernel, topK as topKKernel } from "../kernels/top-k.ts";
import { formatShape, sameShape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { viewOf } from "../tensor/views.ts";
import { divide } from "./elementwise.ts";
import { reshape } from "./layout.ts";
import { sum } from "./reduction.ts";
import { softmax } from "./softmax.ts";
import { differentiable } from "./tape.ts";

type F32 = Tensor<"f32">;

/**
 * The K largest values of the last axis, largest first; a tie goes to the lower index, NaN counts as the smallest. Gradients flow
 * to the chosen values.
 * @param x [..., N]
 * @returns values and indices [..., K]
 * @throws {ShapeError} unless 1 ≤ k ≤ N
 */
export function topK(x: F32, k: number): { values: F32; indices: Tensor<"u32"> } {
  const width = x.axis(-1);
  if (x.rank === 0 || !(Number.isInteger(k) && k >= 1 && k <= width))
    throw new ShapeError(`topK: need 1 ≤ k ≤ ${width}, the last axis of ${formatShape(x.shape)}; got k=${k}`);
  const { values, indices } = topKKernel(x, k);
  // dx is zero but for the chosen elements, which get their value's gradient.
  differentiable("topK", [x], [values], [indices], ([dv], [indices]) => [
    putKernel(dv as F32, indices as Tensor<"u32">, width),
  ]);
  return { values, indices };
}

/**
 * p = softmax(x) and its K largest values, as topK gives them: what most routers begin with, in one kernel where K is small.
 * @param x [..., N]
 * @param options.normalize divides the K values by their sum
 * @returns probs [..., N]; values and indices [..., K]
 * @throws {ShapeError} unless 1 ≤ k ≤ N
 */
export function softmaxTopK(
  x: F32,
  k: number,
  { normalize = false }: { normalize?: boolean } = {},
): { probs: F32; values: F32; indices: Tensor<"u32"> } {
  if (k > FEW || x.rank === 0 || !(k >= 1 && k <= x.axis(-1))) {
    const probs = softmax(x);
    const { values, indices } = topK(probs, k);
    const shares = normalize ? divide(values, reshape(sum(values, -1), [...values.shape.slice(0, -1), 1])) : values;
    return { probs, values: shares, indices };
  }
  const width = x.axis(-1);
  const { probs, values, indices } = softmaxTopKKernel(x, k, normalize);
  differentiable("softmaxTopK", [x], [probs, values], [probs, values, indices], ([dp, dv], [p, v, indices]) => {
    const back = (dv: F32) => putKernel(dv, indices as Tensor<"u32">, width);
    // Normalised values are the softmax of the chosen logits; others are among the probabilities, and share their way back.
    if (!normalize) return [softmaxBackward(p as F32, sumOf(dp as F32 | undefined, dv && back(dv as F32)))];
    const through = dp && softmaxBackward(p as F32, dp as F32);
    return [sumOf(through, dv && back(softmaxBackward(v as F32, dv as F32)))];
  });
  return { probs, values, indices };
}

/** The sum of two gradients of which one may be missing. */
function sumOf(a: F32 | undefined, b: F32 | undefined): F32 {
  return a && b ? map("a + b", [a, b]) : ((a ?? b) as F32);
}

/**
 * Where the largest value of the last axis is; a tie goes to the lower index, NaN counts as the smallest.
 * @param x [..., N]
 * @returns [...] u32
 * @throws {ShapeError} when N is 0
 */
export function argmax(x: F32): Tensor<"u32"> {
  if (x.rank === 0 || x.axis(-1) === 0)
    throw new ShapeError(`argmax: the last axis of ${formatShape(x.shape)} needs at least one element`);
  const { values, indices } = topKKernel(x, 1);
  const where = viewOf(indices, x.shape.slice(0, -1));
  values.dispose();
  indices.dispose();
  return where;
}

/**
 * y[..., k] = x[..., indices[..., k]]: picks along the last axis; indices out of range give 0. Gradients of an index that occurs
 * twice add up.
 * @param x [..., N]
 * @param indices [..., K] with the leading axes of x
 * @returns [..., K]
 * @throws {ShapeError} when the leading axes differ
 */
export function takeAlong(x: F32, indices: Tensor<"u32">): F32 {
  const width = x.axis(-1);
  if (x.rank === 0 || !sameShape(x.shape.slice(0, -1), indices.shape.slice(0, -1)) || x.rank !== indices.rank)
    throw new ShapeError(
      `takeAlong: x ${formatShape(x.shape)} and indices ${formatShape(indices.shape)} must agree but for the last axis`,
    );
  const y = takeKernel(x, indices);
  // dx[j] = Σ over k with indices[k] = j of dy[k].
  differentiable("takeAlong", [x], [y], [indices], ([dy], [indices]) => [
    putKernel(dy as F32, indices as Tensor<"u32">, width),
  ]);
  return y;
}

/**
 * y[..., indices[..., k]] = x[..., k], zeros elsewhere: the transpose of takeAlong. Indices out of range are skipped, values of an
 * index that occurs twice add up.
 * @param x [..., K]
 * @param indices [..., K]
 * @returns [..., width]
 * @throws {ShapeError} when the shapes differ
 */
export function putAlong(x: F32, indices: Tensor<"u32">, width: number): F32 {
  if (!sameShape(x.shape, indices.shape))
    throw new ShapeError(`putAlong: x ${formatShape(x.shape)} and indices ${formatShape(indices.shape)} must agree`);
  const y = putKernel(x, indices, width);
  // dx[k] = dy[indices[k]]
  differentiable("putAlong", [x], [y], [indices], ([dy], [indices]) => [
    takeKernel(dy as F32, indices as Tensor<"u32">),
  ]);
  return y;
}
