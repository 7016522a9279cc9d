import { ShapeError } from "../device/errors.ts";
import { putAlong, takeAlong as takeKernel } from "../kernels/take-along.ts";
import { topK as topKKernel } from "../kernels/top-k.ts";
import { formatShape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
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
  if (!(Number.isInteger(k) && k >= 1 && k <= width))
    throw new ShapeError(`topK: need 1 ≤ k ≤ ${width}, the last axis of ${formatShape(x.shape)}; got k=${k}`);
  const { values, indices } = topKKernel(x, k);
  differentiable("topK", [x], [values], [indices], ([dv], [indices]) => [
    putAlong(dv as F32, indices as Tensor<"u32">, width),
  ]);
  return { values, indices };
}

/**
 * y[..., k] = x[..., indices[..., k]]: picks along the last axis; indices out of range give 0.
 * @param x [..., N]
 * @param indices [..., K] with the leading axes of x
 */
export function takeAlong(x: F32, indices: Tensor<"u32">): F32 {
  const width = x.axis(-1);
  if (x.size / (width || 1) !== indices.size / (indices.axis(-1) || 1))
    throw new ShapeError(
      `takeAlong: x ${formatShape(x.shape)} and indices ${formatShape(indices.shape)} must agree but for the last axis`,
    );
  const y = takeKernel(x, indices);
  differentiable("takeAlong", [x], [y], [indices], ([dy], [indices]) => [
    putAlong(dy as F32, indices as Tensor<"u32">, width),
  ]);
  return y;
}
