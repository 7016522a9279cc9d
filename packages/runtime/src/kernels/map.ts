import { ShapeError } from "../device/errors.ts";
import { defineKernel, grid1d } from "../device/kernel.ts";
import type { DType } from "../tensor/dtype.ts";
import { broadcastShapes, formatShape, type Shape, sizeOf, stridesOf } from "../tensor/shape.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import code from "./map.wgsl";
import math from "./math.wgsl";

const kernel = defineKernel("map", code, { math });

/** How an input is read: see map.wgsl. */
type Mode = "same" | "scalar" | "tail" | "head" | "strided";

/** Elements, or quads, of a thread: two hide each other's loads; four read no faster. */
const BATCH = 2;

const LETTERS = ["a", "b", "c", "d"] as const;
const SCALAR_TYPE = { f32: "f32", u32: "u32", i32: "i32" };
const QUAD_TYPE = { f32: "vec4f", u32: "vec4u", i32: "vec4i" };

/**
 * out = expression(a, b, c, d) element by element, with NumPy's broadcasting.
 * @param expression WGSL over a, b, c, d (the inputs), s0, s1 (the scalars), T (f32 or vec4f) and the functions of math.wgsl; it
 *   must hold for single elements and for vec4 alike, and is part of the pipeline's key
 * @throws {ShapeError} when shapes do not broadcast, or need more than four axes to do so
 */
export function map<T extends DType = "f32">(
  expression: string,
  inputs: readonly Tensor[],
  { scalars = [], dtype = "f32" as T, shape }: { scalars?: readonly number[]; dtype?: T; shape?: Shape } = {},
): Tensor<T> {
  const first = inputs[0];
  if (!first) throw new ShapeError("map: needs at least one input");
  const outShape = shape ?? broadcastShapes("elementwise", ...inputs.map((input) => input.shape));
  const size = sizeOf(outShape);
  const out = empty(first.device, outShape, dtype);
  const modes = inputs.map((input) => modeOf(input.shape, outShape, size));
  const strided = modes.some(({ mode }) => mode === "strided");
  const wide = !strided && modes.every(({ mode, extent }) => mode === "same" || mode === "scalar" || extent % 4 === 0);
  const types = wide ? QUAD_TYPE : SCALAR_TYPE;
  const defines: Record<string, string | number | boolean> = {
    EXPRESSION: expression,
    INPUTS: inputs.length,
    WIDTH: wide ? 4 : 1,
    BATCH,
    T: wide ? "vec4f" : "f32",
    OUT_TYPE: types[dtype],
    STRIDED: strided,
  };
  const params: Record<string, number | readonly number[]> = { size, s0: scalars[0] ?? 0, s1: scalars[1] ?? 0 };
  const axes = strided ? collapse(outShape, inputs) : undefined;
  if (axes) params.lengths = axes.lengths;
  for (const [k, letter] of LETTERS.entries()) {
    const input = inputs[k];
    const { mode, extent } = modes[k] ?? { mode: "same", extent: 0 };
    const upper = letter.toUpperCase();
    params[`${letter}_extent`] = extent;
    if (axes) params[`${letter}_strides`] = axes.strides[k] ?? [0, 0, 0, 0];
    if (!input) continue;
    defines[`${upper}_TYPE`] =
      wide && mode !== "scalar" && mode !== "head" ? QUAD_TYPE[input.dtype] : SCALAR_TYPE[input.dtype];
    defines[`${upper}_READ`] = readExpression(letter, strided ? "strided" : mode, wide, types[input.dtype]);
  }
  first.device.dispatch({
    kernel,
    defines,
    bindings: [out.binding(), ...inputs.map((input) => input.binding())],
    params,
    grid: size === 0 ? [0] : grid1d(wide ? Math.ceil(size / 4) : size, 64 * BATCH),
    bytes: 4 * (size + inputs.reduce((sum, input) => sum + input.size, 0)),
  });
  return out;
}

function readExpression(letter: string, mode: Mode, wide: boolean, type: string): string {
  const data = `${letter}_data`;
  const extent = `params.${letter}_extent`;
  if (mode === "same") return `${data}[thread]`;
  if (mode === "scalar") return wide ? `${type}(${data}[0])` : `${data}[0]`;
  if (mode === "tail") return wide ? `${data}[thread % (${extent} / 4u)]` : `${data}[i % ${extent}]`;
  if (mode === "head") return wide ? `${type}(${data}[i / ${extent}])` : `${data}[i / ${extent}]`;
  return `${data}[strided(i, params.${letter}_strides)]`;
}

function modeOf(shape: Shape, outShape: Shape, size: number): { mode: Mode; extent: number } {
  const own = sizeOf(shape);
  if (own === size) return { mode: "same", extent: 0 };
  if (own === 1) return { mode: "scalar", extent: 0 };
  const padded = [...new Array<number>(outShape.length - shape.length).fill(1), ...shape];
  const firstReal = padded.findIndex((length) => length !== 1);
  if (padded.slice(firstReal).every((length, k) => length === outShape[firstReal + k]))
    return { mode: "tail", extent: own };
  const lastReal = padded.findLastIndex((length) => length !== 1);
  if (padded.slice(0, lastReal + 1).every((length, k) => length === outShape[k]))
    return { mode: "head", extent: size / own };
  return { mode: "strided", extent: 0 };
}

/** Joins neighbouring axes on which every input is either full or broadcast, so that four axes are left. */
function collapse(outShape: Shape, inputs: readonly Tensor[]): { lengths: number[]; strides: number[][] } {
  const strides = inputs.map(({ shape }) => {
    const own = stridesOf(shape);
    const missing = outShape.length - shape.length;
    return outShape.map((_, axis) => ((shape[axis - missing] ?? 1) === 1 ? 0 : (own[axis - missing] ?? 0)));
  });
  const lengths: number[] = [];
  const kept: number[][] = inputs.map(() => []);
  for (const [axis, length] of outShape.entries()) {
    if (length === 1) continue;
    const joins = lengths.length > 0 && strides.every((own, k) => kept[k]?.at(-1) === (own[axis] ?? 0) * length);
    if (joins) lengths[lengths.length - 1] = (lengths.at(-1) ?? 1) * length;
    else lengths.push(length);
    for (const [k, own] of strides.entries()) {
      if (joins) kept[k]?.pop();
      kept[k]?.push(own[axis] ?? 0);
    }
  }
  if (lengths.length > 4)
    throw new ShapeError(
      `elementwise: ${inputs.map(({ shape }) => formatShape(shape)).join(", ")} need ${lengths.length} axes to broadcast; at most 4 are supported`,
    );
  const pad = (values: number[], fill: number) => [...new Array<number>(4 - values.length).fill(fill), ...values];
  return { lengths: pad(lengths, 1), strides: kept.map((own) => pad(own, 0)) };
}
