import { defineKernel, grid1d } from "../device/kernel.ts";
import type { Defines } from "../device/preprocess.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import code from "./rows.wgsl";

type F32 = Tensor<"f32">;

const kernel = defineKernel("rows", code);

/** The maps between token order and grouped order that a routing plan holds: see RoutingPlan in moe/plan.ts. */
export interface RowMaps {
  readonly numTokens: number;
  readonly tokenOffsets: Tensor<"u32">;
  readonly assignmentSlot: Tensor<"u32">;
  readonly slotAssignment: Tensor<"u32">;
}

function run(
  mode: "COMBINE" | "WEIGH" | "DOT",
  width: number,
  rows: number,
  bindings: Tensor[],
  out: F32,
  more: Defines = {},
): F32 {
  const wide = width % 4 === 0;
  const columns = wide ? width / 4 : width;
  out.device.dispatch({
    kernel,
    defines: { [mode]: true, WIDE: wide, ...more },
    bindings: [...bindings.map((tensor) => tensor.binding()), out.binding()],
    params: { rows, width: columns },
    grid: rows === 0 ? [0] : grid1d(mode === "DOT" ? rows : rows * columns, 64),
    bytes: 4 * (bindings.reduce((sum, tensor) => sum + tensor.size, 0) + out.size),
  });
  return out;
}

/** Sums the grouped rows of each token, weighted by [A] when weights are given: [slots, D] to [N, D]. */
export function combineRows(x: F32, maps: RowMaps, weights?: F32): F32 {
  const out = empty(x.device, [maps.numTokens, x.axis(1)], "f32");
  const bindings = [x, maps.tokenOffsets, maps.assignmentSlot, weights ?? x];
  return run("COMBINE", x.axis(1), maps.numTokens, bindings, out, { WEIGHTED: weights !== undefined });
}

/** Multiplies each grouped row by the weight of its assignment. */
export function weighRows(x: F32, maps: RowMaps, weights: F32): F32 {
  return run("WEIGH", x.axis(1), x.axis(0), [x, maps.slotAssignment, weights], empty(x.device, x.shape, "f32"));
}

/** The inner product of two grouped rows, for each assignment: [A]. */
export function dotRows(x: F32, y: F32, maps: RowMaps): F32 {
  const numAssignments = maps.assignmentSlot.size;
  return run("DOT", x.axis(1), numAssignments, [x, y, maps.assignmentSlot], empty(x.device, [numAssignments], "f32"));
}
