import { defineKernel, grid1d } from "../device/kernel.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import { rowsOf } from "../tensor/views.ts";
import code from "./compact-choices.wgsl";
import type { PlanTensors } from "./plan.ts";
import { prefixSum } from "./prefix-sum.ts";

const kernel = defineKernel("compact-choices", code);

type U32 = Tensor<"u32">;

export interface CompactPlan extends PlanTensors {
  /** [A] */
  readonly assignmentExpert: U32;
  /** [A] the place of each assignment in the choices [N · K]; NONE past the last one. */
  readonly choicePlace: U32;
  /** [N · K] the assignment of each place; NONE for none. */
  readonly placeAssignment: U32;
}

/**
 * A plan whose assignments are the places of `experts` [N, K] that name an expert at all, at most A of them: what does not fit is
 * counted in the status and gets no row. NONE and tokens with mask 0 have no assignment.
 * @param buildPlan plans the places [N, K] that are left
 */
export function compactPlan(
  experts: U32,
  maxAssignments: number,
  mask: Tensor<"f32"> | undefined,
  buildPlan: (bounded: U32) => PlanTensors,
): CompactPlan {
  const { device, size: places } = experts;
  const [tokens, topK] = [experts.axis(0), experts.axis(1)];
  const u32 = (length: number) => empty(device, [length], "u32");
  const run = (step: "WANTED" | "PLACE" | "REMAP", threads: number, tensors: Tensor[]) =>
    device.dispatch({
      kernel,
      defines: { [step]: true },
      bindings: tensors.map((tensor) => tensor.binding()),
      params: { tokens, top_k: topK, assignments: maxAssignments, has_mask: mask ? 1 : 0 },
      grid: grid1d(threads, 64),
    });

  const flags = u32(places);
  run("WANTED", places, [experts, mask ?? experts, flags]);
  const number = prefixSum(flags);
  const [assignmentExpert, assignmentToken] = [u32(maxAssignments), u32(maxAssignments)];
  const [choicePlace, placeAssignment] = [u32(maxAssignments), u32(places)];
  const [bounded, tokenOffsets] = [empty(device, [tokens, topK], "u32"), u32(tokens + 1)];
  const maps = [assignmentExpert, assignmentToken, choicePlace, placeAssignment, bounded, tokenOffsets];
  run("PLACE", Math.max(places, tokens + 1), [experts, number, ...maps]);

  const plan = buildPlan(bounded);
  const [assignmentSlot, slotAssignment, status] = [u32(maxAssignments), u32(maxAssignments), u32(4)];
  const from = [choicePlace, number, plan.assignmentSlot, plan.status];
  run("REMAP", Math.max(maxAssignments, 4), [...from, assignmentSlot, slotAssignment, status]);
  const slotToken = rowsOf(plan.slotToken, 0, maxAssignments);
  const { groupOffsets, ...ofPlaces } = plan;
  for (const tensor of [flags, number, bounded, ...Object.values(ofPlaces)]) tensor.dispose();
  return {
    assignmentExpert,
    assignmentToken,
    tokenOffsets,
    assignmentSlot,
    slotAssignment,
    slotToken,
    groupOffsets,
    status,
    choicePlace,
    placeAssignment,
  };
}
