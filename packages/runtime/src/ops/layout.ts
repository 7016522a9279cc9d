import { ShapeError } from "../device/errors.ts";
import { copyBlock } from "../kernels/copy.ts";
import { full } from "../kernels/fill.ts";
import type { DType } from "../tensor/dtype.ts";
import { expectShape, formatShape, resolveAxis, resolveShape, type Shape, stridesOf } from "../tensor/shape.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import { rowsOf, viewOf } from "../tensor/views.ts";
import { differentiable } from "./tape.ts";

type F32 = Tensor<"f32">;

/** The same elements under another shape, without a copy; one length may be -1. */
export function reshape<T extends DType>(x: Tensor<T>, shape: Shape): Tensor<T> {
  const y = viewOf(x, resolveShape("reshape", shape, x.size));
  const before = x.shape;
  differentiable("reshape", [x], [y], [], ([dy]) => [viewOf(dy as F32, before)]);
  return y;
}

/**
 * Reorders the axes: axis k of the result is axis `axes[k]` of x.
 * @throws {ShapeError} unless `axes` names each axis once, or when more than five groups of axes move apart
 */
export function permute<T extends DType>(x: Tensor<T>, axes: readonly number[]): Tensor<T> {
  const order = axes.map((axis) => resolveAxis("permute", axis, x.rank));
  if (order.length !== x.rank || new Set(order).size !== x.rank)
    throw new ShapeError(`permute: [${axes.join(", ")}] is no order of the ${x.rank} axes of ${formatShape(x.shape)}`);
  const strides = stridesOf(x.shape);
  const shape = order.map((axis) => x.axis(axis));
  const y = empty(x.device, shape, x.dtype);
  copyBlock(
    x,
    { start: 0, strides: order.map((axis) => strides[axis] ?? 1) },
    y,
    { start: 0, strides: stridesOf(shape) },
    shape,
  );
  const inverse = order.map((_, axis) => order.indexOf(axis));
  differentiable("permute", [x], [y], [], ([dy]) => [permute(dy as F32, inverse)]);
  return y;
}

/** Swaps two axes. */
export function transpose<T extends DType>(x: Tensor<T>, axisA = -2, axisB = -1): Tensor<T> {
  const [a, b] = [resolveAxis("transpose", axisA, x.rank), resolveAxis("transpose", axisB, x.rank)];
  return permute(
    x,
    x.shape.map((_, axis) => (axis === a ? b : axis === b ? a : axis)),
  );
}

/**
 * `length` entries of an axis from `start`. A view on the first axis, a copy on others.
 * @throws {ShapeError} for entries outside the axis
 */
export function slice<T extends DType>(x: Tensor<T>, axis: number, start: number, length: number): Tensor<T> {
  const at = resolveAxis("slice", axis, x.rank);
  const whole = x.axis(at);
  if (![start, length].every((count) => Number.isInteger(count) && count >= 0) || start + length > whole)
    throw new ShapeError(`slice: ${start}..${start + length} is outside axis ${axis} of ${formatShape(x.shape)}`);
  const y = cut(x, at, start, length);
  // dx is dy, with zeros where nothing was taken.
  differentiable("slice", [x], [y], [], ([dy]) => [pad(dy as F32, at, start, whole - start - length)]);
  return y;
}

function cut<T extends DType>(x: Tensor<T>, axis: number, start: number, length: number): Tensor<T> {
  if (axis === 0) return rowsOf(x, start, length);
  const shape = x.shape.with(axis, length);
  const y = empty(x.device, shape, x.dtype);
  const strides = stridesOf(x.shape);
  copyBlock(x, { start: start * (strides[axis] ?? 1), strides }, y, { start: 0, strides: stridesOf(shape) }, shape);
  return y;
}

/**
 * Cuts an axis into parts of the given sizes: views on the first axis, copies on others.
 * @throws {ShapeError} unless the sizes add up to the axis
 */
export function split<T extends DType>(x: Tensor<T>, axis: number, sizes: readonly number[]): Tensor<T>[] {
  const total = sizes.reduce((a, b) => a + b, 0);
  const at = resolveAxis("split", axis, x.rank);
  if (total !== x.axis(at) || sizes.some((size) => !Number.isInteger(size) || size < 0))
    throw new ShapeError(
      `split: sizes ${sizes.join(" + ")} = ${total} do not add up to axis ${axis} of ${formatShape(x.shape)}`,
    );
  const { device, shape } = x;
  let start = 0;
  const parts = sizes.map((size) => {
    start += size;
    return cut(x, at, start - size, size);
  });
  // dx joins the parts' gradients, with zeros for parts that nothing depends on.
  differentiable("split", [x], parts, [], (gradients) => [
    concat(
      gradients.map((dy, i) => dy ?? full(device, shape.with(at, sizes[i] ?? 0), 0, "f32")),
      at,
    ),
  ]);
  return parts;
}

/**
 * Adds `before` and `after` entries of `value` to an axis.
 * @throws {ShapeError} for numbers of entries that are no counts
 */
export function pad<T extends DType>(x: Tensor<T>, axis: number, before: number, after: number, value = 0): Tensor<T> {
  const at = resolveAxis("pad", axis, x.rank);
  if (![before, after].every((count) => Number.isInteger(count) && count >= 0))
    throw new ShapeError(`pad: needs counts of 0 or more, got ${before} and ${after}`);
  const shape = x.shape.with(at, x.axis(at) + before + after);
  const y = full(x.device, shape, value, x.dtype);
  const strides = stridesOf(shape);
  copyBlock(x, { start: 0, strides: stridesOf(x.shape) }, y, { start: before * (strides[at] ?? 1), strides }, x.shape);
  const length = x.axis(at);
  differentiable("pad", [x], [y], [], ([dy]) => [slice(dy as F32, at, before, length)]);
  return y;
}

/**
 * Joins tensors along an axis.
 * @throws {ShapeError} when other axes differ
 */
export function concat<T extends DType>(tensors: readonly Tensor<T>[], axis: number): Tensor<T> {
  const first = tensors[0];
  if (!first) throw new ShapeError("concat: needs at least one tensor");
  const at = resolveAxis("concat", axis, first.rank);
  const sizes = tensors.map((tensor) => tensor.axis(at));
  for (const [i, tensor] of tensors.entries())
    expectShape("concat", `tensor ${i}`, tensor.shape, first.shape.with(at, sizes[i] ?? 0));
  const shape = first.shape.with(
    at,
    sizes.reduce((a, b) => a + b, 0),
  );
  const y = empty(first.device, shape, first.dtype);
  const strides = stridesOf(shape);
  let start = 0;
  for (const tensor of tensors) {
    copyBlock(
      tensor,
      { start: 0, strides: stridesOf(tensor.shape) },
      y,
      { start: start * (strides[at] ?? 1), strides },
      tensor.shape,
    );
    start += tensor.axis(at);
  }
  // Each tensor's gradient is its part of dy.
  differentiable("concat", tensors, [y], [], ([dy]) => split(dy as F32, at, sizes));
  return y;
}

/**
 * Joins tensors of one shape along a new axis.
 * @throws {ShapeError} when shapes differ
 */
export function stack<T extends DType>(tensors: readonly Tensor<T>[], axis = 0): Tensor<T> {
  const [first] = tensors;
  if (!first) throw new ShapeError("stack: needs at least one tensor");
  const at = resolveAxis("stack", axis, first.rank + 1);
  for (const [i, tensor] of tensors.entries()) expectShape("stack", `tensor ${i}`, tensor.shape, first.shape);
  const raised = tensors.map((tensor) => reshape(tensor, tensor.shape.toSpliced(at, 0, 1)));
  const y = concat(raised, at);
  for (const tensor of raised) tensor.dispose();
  return y;
}

export { arange, full, ones, zeros } from "../kernels/fill.ts";
