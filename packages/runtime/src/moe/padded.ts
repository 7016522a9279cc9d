import { arange, full } from "../kernels/fill.ts";
import { gatherRows as pick } from "../kernels/gather-rows.ts";
import { map } from "../kernels/map.ts";
import { multiply } from "../ops/elementwise.ts";
import { gatherRows, scatterRows } from "../ops/gather-rows.ts";
import { reshape } from "../ops/layout.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { rowsOf, viewOf } from "../tensor/views.ts";
import type { RoutingPlan } from "./plan.ts";
import type { Routing } from "./routing.ts";

type F32 = Tensor<"f32">;

/**
 * The buffer that GShard's einsum form sends to its experts: expert e's rows of the plan in order, zeros behind them. Our own products
 * need none; it serves layers that want dense batches, and comparison.
 * @param x [N, H]
 * @param capacity C: rows an expert has room for; further rows of the plan are left out
 * @returns [E, C, H]
 */
export function dispatchPadded(x: F32, plan: RoutingPlan, capacity: number): F32 {
  const { numGroups, groupOffsets } = plan;
  const begins = viewOf(rowsOf(groupOffsets, 0, numGroups), [numGroups, 1]);
  const ends = viewOf(rowsOf(groupOffsets, 1, numGroups), [numGroups, 1]);
  const places = viewOf(arange(x.device, capacity, "u32"), [1, capacity]);
  const rows = map("select(~(a ^ a), a + b, a + b < c)", [begins, places, ends], { dtype: "u32" }); // NONE past the end
  const grouped = gatherRows(x, plan.slotToken); // [A, H]
  return reshape(gatherRows(grouped, viewOf(rows, [rows.size])), [numGroups, capacity, x.axis(1)]);
}

/**
 * Brings the outputs of padded buffers back to their tokens: y[n] = Σ over n's assignments a of w[a] · outputs[e(a), place(a)].
 * @param outputs [E, C, H] in the order of dispatchPadded
 * @returns [N, H]; rows left out add nothing
 */
export function combinePadded(outputs: F32, { plan, weights }: Routing): F32 {
  const [numExperts = 0, capacity = 0, hiddenSize = 0] = outputs.shape;
  const { assignmentExpert, assignmentSlot, groupOffsets, maxAssignments } = plan;
  const begins = viewOf(pick(viewOf(groupOffsets, [numExperts + 1, 1]), assignmentExpert), [maxAssignments]);
  const size = full(outputs.device, [1], capacity, "u32");
  // A dropped assignment's slot, NONE, is beyond every capacity.
  const places = map("select(~(a ^ a), a * d + b - c, b - c < d)", [assignmentExpert, assignmentSlot, begins, size], {
    dtype: "u32",
  });
  const rows = gatherRows(reshape(outputs, [numExperts * capacity, hiddenSize]), places);
  const weighted = multiply(rows, reshape(weights, [maxAssignments, 1]));
  return scatterRows(weighted, plan.assignmentToken, plan.numTokens);
}
