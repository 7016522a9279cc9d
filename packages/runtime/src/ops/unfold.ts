import { ShapeError } from "../device/errors.ts";
import { unfold as unfoldKernel } from "../kernels/unfold.ts";
import { formatShape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";

/**
 * The next `width` values at every position: y[b, t, h] = x[b, t + h], 0 past the end. Made for labels and masks: not differentiable.
 * @param x [B, T]
 * @param positions how many positions to take, from the first on. Default T
 * @returns [B, positions, width]
 */
export function unfold(x: Tensor<"f32">, width: number, positions: number = x.axis(1)): Tensor<"f32"> {
  const isCount = Number.isInteger(width) && width >= 1 && Number.isInteger(positions) && positions >= 0;
  if (x.rank !== 2 || !isCount || positions > x.axis(1))
    throw new ShapeError(
      `unfold: needs [batch, time], a width of 1 or more and positions within time, got ${formatShape(x.shape)}, ${width} and ${positions}`,
    );
  return unfoldKernel(x, width, positions);
}
