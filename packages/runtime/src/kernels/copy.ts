import { ShapeError } from "../device/errors.ts";
import { defineKernel, grid1d } from "../device/kernel.ts";
import { formatShape, type Shape, sizeOf } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import code from "./copy.wgsl";

const kernel = defineKernel("copy", code);

/** Where the elements of a block lie in a tensor, in elements. */
export interface Layout {
  readonly start: number;
  readonly strides: readonly number[];
}

/** Copies the block of `lengths` from one layout into another tensor; elements outside the block stay as they are. */
export function copyBlock(source: Tensor, from: Layout, target: Tensor, to: Layout, lengths: Shape): void {
  const size = sizeOf(lengths);
  if (size === 0) return;
  const axes = joinAxes(lengths, from.strides, to.strides);
  if (axes.length > 5)
    throw new ShapeError(
      `copy: a block of ${formatShape(lengths)} needs ${axes.length} separate axes; at most 5 are supported`,
    );
  const wide = isWide(axes, from, to);
  const unit = wide ? 4 : 1;
  const inUnits = axes.map(({ length, source, target }, k) =>
    k === axes.length - 1
      ? { length: length / unit, source, target }
      : { length, source: source / unit, target: target / unit },
  );
  while (inUnits.length < 5) inUnits.unshift({ length: 1, source: 0, target: 0 });
  const [outer = { source: 0, target: 0 }, ...inner] = inUnits;
  target.device.dispatch({
    kernel,
    defines: { WIDE: wide },
    bindings: [source.binding(), target.binding()],
    params: {
      size: size / unit,
      source_start: from.start / unit,
      target_start: to.start / unit,
      source_stride0: outer.source,
      target_stride0: outer.target,
      lengths: inner.map(({ length }) => length),
      source_strides: inner.map(({ source }) => source),
      target_strides: inner.map(({ target }) => target),
    },
    grid: grid1d(size / unit, 64),
    bytes: 8 * size,
  });
}

/** Whether both sides fall into the same quads of neighbouring elements. */
function isWide(axes: readonly Axis[], from: Layout, to: Layout): boolean {
  const last = axes.at(-1);
  const steps = axes.slice(0, -1).flatMap(({ source, target }) => [source, target]);
  return (
    last?.source === 1 &&
    last.target === 1 &&
    [last.length, from.start, to.start, ...steps].every((count) => count % 4 === 0)
  );
}

interface Axis {
  length: number;
  source: number;
  target: number;
}

/** Joins neighbouring axes that are contiguous on both sides. */
function joinAxes(lengths: Shape, source: readonly number[], target: readonly number[]): Axis[] {
  const axes: Axis[] = [];
  for (const [i, length] of lengths.entries()) {
    if (length === 1) continue;
    const axis = { length, source: source[i] ?? 0, target: target[i] ?? 0 };
    const last = axes.at(-1);
    if (last && last.source === axis.source * length && last.target === axis.target * length)
      axes[axes.length - 1] = { ...axis, length: last.length * length };
    else axes.push(axis);
  }
  return axes;
}
