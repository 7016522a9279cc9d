import { gatherRows as pick } from "../../kernels/gather-rows.ts";
import { map } from "../../kernels/map.ts";
import { multiply } from "../../ops/elementwise.ts";
import { gatherRows, scatterRows } from "../../ops/gather-rows.ts";
import { reshape } from "../../ops/layout.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { viewOf } from "../../tensor/views.ts";
import type { RoutingPlan } from "../plan.ts";
import type { Routing } from "../routing.ts";

type F32 = Tensor<"f32">;

/** The expert's row of `bias` [E, D] for each grouped row: [A, D], zeros past the last group. */
export function slotBias(bias: F32, plan: RoutingPlan): F32 {
  const { maxAssignments: A, assignmentExpert, slotAssignment } = plan;
  // NONE picks 0, so that experts count from 1 on the way and NONE comes back.
  const fromOne = map("a + 1u", [assignmentExpert], { dtype: "u32" });
  const slotExpert = map("a - 1u", [pick(viewOf(fromOne, [A, 1]), slotAssignment)], { dtype: "u32" });
  return gatherRows(bias, viewOf(slotExpert, [A]));
}

/** Σ over each token's assignments a that have a row of w[a] · bias[e(a)]: [E, D] to [N, D]. */
export function combineExpertBias(bias: F32, { plan, weights }: Routing): F32 {
  const { assignmentExpert, assignmentSlot, assignmentToken, maxAssignments, numTokens } = plan;
  const kept = map("select(a, b, b == ~(b ^ b))", [assignmentExpert, assignmentSlot], { dtype: "u32" }); // NONE where dropped
  return scatterRows(
    multiply(gatherRows(bias, kept), reshape(weights, [maxAssignments, 1])),
    assignmentToken,
    numTokens,
  );
}
