import { ShapeError } from "../device/errors.ts";
import { gemm, gemmEach, gemmGated } from "../kernels/gemm.ts";
import { gemmTransposed } from "../kernels/gemm-transposed.ts";
import type { RowGroups } from "../kernels/row-tiles.ts";
import { combineRows, dotRows, type RowMaps, weighRows } from "../kernels/rows.ts";
import { expectShape, formatShape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { swiglu } from "./swiglu.ts";
import { differentiable, needsGradient } from "./tape.ts";

type F32 = Tensor<"f32">;
type U32 = Tensor<"u32">;

/** A routing plan as the grouped products see it. Row counts live on the device; shapes are bounds, rows beyond them garbage. */
export interface GroupedRows extends RowMaps {
  readonly numGroups: number;
  readonly maxAssignments: number;
  /** [G + 1] u32 */
  readonly groupOffsets: U32;
  /** [A] u32: the token of each grouped row. */
  readonly slotToken: U32;
}

function grouped({ groupOffsets, numGroups, maxAssignments }: GroupedRows): RowGroups {
  return { groupOffsets, numGroups, numRows: maxAssignments };
}

/** The tensors that a vjp must find alive, in the order of `restore`. */
function planTensors(plan: GroupedRows): U32[] {
  return [plan.groupOffsets, plan.slotToken, plan.tokenOffsets, plan.assignmentSlot, plan.slotAssignment];
}

/** The plan on the handles that the tape kept. */
function restore({ numTokens, numGroups, maxAssignments }: GroupedRows, saved: Tensor[]): GroupedRows {
  const [groupOffsets, slotToken, tokenOffsets, assignmentSlot, slotAssignment] = saved as [U32, U32, U32, U32, U32];
  return {
    numTokens,
    numGroups,
    maxAssignments,
    groupOffsets,
    slotToken,
    tokenOffsets,
    assignmentSlot,
    slotAssignment,
  };
}

/**
 * Sends each token's row through the weights of its groups: y[s] = W[g(s)] · x[token(s)] for every grouped row s.
 * @param x [N, in] in token order
 * @param weight [G, out, in]
 * @returns [A, out] in grouped order; rows past the last group are garbage
 */
export function expandLinear(x: F32, weight: F32, plan: GroupedRows): F32 {
  return expandLinears(x, [weight], plan)[0] as F32;
}

/** expandLinear through several banks of one shape, as the gate and up projections of gated experts: x is gathered once for all. */
export function expandLinears(x: F32, weights: readonly F32[], plan: GroupedRows): F32[] {
  for (const weight of weights) expectBank("expandLinear", x, plan.numTokens, weight, plan);
  const ys = gemmEach(x, weights, { order: "out-major", groups: { ...grouped(plan), sourceRow: plan.slotToken } });
  const wants = [x, ...weights].map(needsGradient);
  // dx[n] = Σ over n's grouped rows of Σ_i W_i[g]ᵀ dy_i[s]; dW_i[g] = Σ over g's rows of dy_i[s] x[token(s)]ᵀ
  differentiable("expandLinear", [x, ...weights], ys, [x, ...weights, ...planTensors(plan)], (dys, [x, ...saved]) => {
    const banks = saved.slice(0, weights.length);
    const maps = restore(plan, saved.slice(weights.length));
    const groups = grouped(maps);
    let rows: F32 | undefined;
    for (const [i, dy] of dys.entries())
      if (dy && wants[0]) rows = gemm(dy as F32, banks[i] as F32, { order: "in-major", groups, into: rows });
    return [
      rows && combineRows(rows, maps),
      ...dys.map((dy, i) =>
        dy && wants[i + 1]
          ? gemmTransposed(dy as F32, x as F32, { groups: { ...groups, sourceRow: maps.slotToken }, gathered: "b" })
          : undefined,
      ),
    ];
  });
  return ys;
}

/**
 * The first half of gated experts: silu(W_gate x) · W_up x for every grouped row. Where no gradient is wanted, one kernel does both
 * products and keeps neither.
 * @param x [N, in] in token order
 * @param gate [G, out, in]
 * @param up as gate
 * @returns [A, out] in grouped order; rows past the last group are garbage
 */
export function expandSwiglu(x: F32, gate: F32, up: F32, plan: GroupedRows): F32 {
  if ([x, gate, up].some(needsGradient)) {
    const [g, u] = expandLinears(x, [gate, up], plan) as [F32, F32];
    return swiglu(g, u);
  }
  for (const weight of [gate, up]) expectBank("expandSwiglu", x, plan.numTokens, weight, plan);
  return gemmGated(x, gate, up, { order: "out-major", groups: { ...grouped(plan), sourceRow: plan.slotToken } });
}

/**
 * Brings grouped rows back to their tokens through a second weight: y[n] = Σ over n's assignments a of w[a] · W[g] · h[slot(a)].
 * The gradient needs no expert output: with q = Wᵀ dy, dh = w · q and dw = <q, h>.
 * @param h [A, in] in grouped order
 * @param weight [G, out, in]
 * @param expertWeights [A] in token order; dropped assignments add nothing and get no gradient
 * @returns [N, out]
 */
export function combineLinear(h: F32, weight: F32, expertWeights: F32, plan: GroupedRows): F32 {
  expectBank("combineLinear", h, plan.maxAssignments, weight, plan);
  expectShape("combineLinear", "expertWeights", expertWeights.shape, [plan.maxAssignments]);
  const outputs = gemm(h, weight, { order: "out-major", groups: grouped(plan) });
  const y = combineRows(outputs, plan, expertWeights);
  outputs.dispose();
  const wants = [h, weight, expertWeights].map(needsGradient);
  differentiable(
    "combineLinear",
    [h, weight, expertWeights],
    [y],
    [h, weight, expertWeights, ...planTensors(plan)],
    ([dy], [h, weight, w, ...rest]) => {
      const maps = restore(plan, rest);
      const groups = { ...grouped(maps), sourceRow: maps.slotToken };
      const q = wants[0] || wants[2] ? gemm(dy as F32, weight as F32, { order: "in-major", groups }) : undefined;
      return [
        wants[0] && q ? weighRows(q, maps, w as F32) : undefined,
        wants[1]
          ? gemmTransposed(dy as F32, weighRows(h as F32, maps, w as F32), { groups, gathered: "a" })
          : undefined,
        wants[2] && q ? dotRows(q, h as F32, maps) : undefined,
      ];
    },
  );
  return y;
}

function expectBank(where: string, x: F32, rows: number, weight: F32, { numGroups }: GroupedRows): void {
  if (
    x.rank !== 2 ||
    x.axis(0) !== rows ||
    weight.rank !== 3 ||
    weight.axis(0) !== numGroups ||
    weight.axis(2) !== x.axis(1)
  )
    throw new ShapeError(
      `${where}: the plan needs rows [${rows}, in] and weights [${numGroups}, out, in], got ${formatShape(x.shape)} and ${formatShape(weight.shape)}`,
    );
}
