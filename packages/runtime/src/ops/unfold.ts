import { ShapeError } from "../device/errors.ts";
import { unfold as unfoldKernel } from "../kernels/unfold.ts";
import { formatShape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";

/**
 * The next `width` values at every position: y[b, t, h] = x[b, t + h], 0 past the end. Made for labels and masks: not differentiable.
 * @param x [B, T]
 * @returns [B, T, width]
 */
export function unfold(x: Tensor<"f32">, width: number): Tensor<"f32"> {
  if (x.rank !== 2 || !(width >= 1))
    throw new ShapeError(
      `unfold: needs [batch, time] and a width of 1 or more, got ${formatShape(x.shape)} and ${width}`,
    );
  return unfoldKernel(x, width);
}
