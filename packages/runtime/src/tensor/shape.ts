import { ShapeError } from "../device/errors.ts";

/** Sizes of the axes, outermost first; `[]` is a scalar. */
export type Shape = readonly number[];

export function sizeOf(shape: Shape): number {
  return shape.reduce((size, length) => size * length, 1);
}

export function formatShape(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((length, axis) => length === b[axis]);
}

/** @throws {ShapeError} `where: <what> has shape …, expected …` */
export function expectShape(where: string, what: string, shape: Shape, expected: Shape): void {
  if (!sameShape(shape, expected))
    throw new ShapeError(`${where}: ${what} has shape ${formatShape(shape)}, expected ${formatShape(expected)}`);
}

/** Row-major strides in elements. */
export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length).fill(1);
  for (let axis = shape.length - 2; axis >= 0; axis--)
    strides[axis] = (strides[axis + 1] ?? 1) * (shape[axis + 1] ?? 1);
  return strides;
}

/** The shape that NumPy's broadcasting gives. @throws {ShapeError} when two axes differ and neither is 1 */
export function broadcastShapes(where: string, ...shapes: Shape[]): number[] {
  const rank = Math.max(...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis) => {
    let length = 1;
    for (const shape of shapes) {
      const own = shape[axis - rank + shape.length] ?? 1;
      if (own === 1 || own === length) continue;
      if (length !== 1)
        throw new ShapeError(`${where}: shapes ${shapes.map(formatShape).join(" and ")} do not broadcast`);
      length = own;
    }
    return length;
  });
}

/** Turns a negative axis (from the end) into a plain one. @throws {ShapeError} out of range */
export function resolveAxis(where: string, axis: number, rank: number): number {
  const resolved = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(axis) || resolved < 0 || resolved >= rank)
    throw new ShapeError(`${where}: axis ${axis} is out of range for rank ${rank}`);
  return resolved;
}

/** Replaces one -1 by what fits `size` elements. @throws {ShapeError} when the sizes differ */
export function resolveShape(where: string, shape: Shape, size: number): number[] {
  const known = shape.reduce((product, length) => (length === -1 ? product : product * length), 1);
  const resolved = shape.map((length) => (length === -1 ? size / known : length));
  if (sizeOf(resolved) !== size || resolved.some((length) => !Number.isInteger(length) || length < 0))
    throw new ShapeError(`${where}: ${size} elements do not fit the shape ${formatShape(shape)}`);
  return resolved;
}
