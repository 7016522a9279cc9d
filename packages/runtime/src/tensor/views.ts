import { ShapeError } from "../device/errors.ts";
import type { DType } from "./dtype.ts";
import { formatShape, resolveShape, type Shape, sizeOf } from "./shape.ts";
import { Tensor } from "./tensor.ts";

// Handles on the elements of other tensors, without a copy. Gradients do not pass through them: in differentiable code use
// reshape and slice of the ops room.

/** The same elements under another shape; one length may be -1. */
export function viewOf<T extends DType>(x: Tensor<T>, shape: Shape): Tensor<T> {
  return new Tensor(x.device, resolveShape("view", shape, x.size), x.dtype, x.buffer.retain(), x.offset);
}

/** `length` entries of the first axis from `start`. */
export function rowsOf<T extends DType>(x: Tensor<T>, start: number, length: number): Tensor<T> {
  const [first = 1, ...rest] = x.shape;
  if (x.rank === 0 || start < 0 || length < 0 || start + length > first)
    throw new ShapeError(
      `rows ${start}..${start + length} are outside the first axis of shape ${formatShape(x.shape)}`,
    );
  return new Tensor(x.device, [length, ...rest], x.dtype, x.buffer.retain(), x.offset + start * sizeOf(rest));
}

/** Another handle on the same elements, with a life of its own. */
export function aliasOf<T extends DType>(x: Tensor<T>): Tensor<T> {
  return new Tensor(x.device, x.shape, x.dtype, x.buffer.retain(), x.offset);
}
