import { defineKernel, grid1d } from "../device/kernel.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import { countingSort } from "./counting-sort.ts";
import { zeros } from "./fill.ts";
import code from "./plan.wgsl";

const kernel = defineKernel("plan", code);

type U32 = Tensor<"u32">;

export interface PlanTensors {
  readonly assignmentToken: U32;
  readonly tokenOffsets: U32;
  readonly assignmentSlot: U32;
  readonly slotAssignment: U32;
  readonly slotToken: U32;
  readonly groupOffsets: U32;
  readonly status: U32;
}

export interface PlanOptions {
  numGroups: number;
  /** Most rows a group gets; the rest is dropped. */
  capacity: number;
  /** Who is served first when capacity is short: `token` in order, or all first `choice`s before all second ones (GShard). */
  priority: "token" | "choice";
  /** [N] f32: tokens with 0 are not routed. */
  mask: Tensor<"f32"> | undefined;
}

/** Groups the assignments of `experts` [N, K] by expert, in a fixed order, without read-back. Eight dispatches. */
export function buildPlan(
  experts: U32,
  weights: Tensor<"f32">,
  { numGroups, capacity, priority, mask }: PlanOptions,
): PlanTensors {
  const { device } = experts;
  const [tokens, topK] = [experts.axis(0), experts.axis(1)];
  const total = tokens * topK;
  const u32 = (length: number) => empty(device, [length], "u32");
  const params = {
    tokens,
    top_k: topK,
    groups: numGroups,
    capacity,
    by_choice: priority === "choice" ? 1 : 0,
    has_mask: mask ? 1 : 0,
  };
  const run = (step: "KEYS" | "OFFSETS" | "FINISH", grid: readonly [number, number?], tensors: Tensor[]) =>
    device.dispatch({
      kernel,
      defines: { [step]: true },
      bindings: tensors.map((tensor) => tensor.binding()),
      params,
      grid,
    });

  const status = zeros(device, [4], "u32");
  const keys = u32(total);
  const assignmentToken = u32(total);
  const tokenOffsets = u32(tokens + 1);
  run("KEYS", grid1d(Math.max(total, tokens + 1), 64), [
    experts,
    weights,
    mask ?? weights,
    keys,
    assignmentToken,
    tokenOffsets,
    status,
  ]);

  const sorted = countingSort(keys, numGroups);
  const groupOffsets = u32(numGroups + 1);
  run("OFFSETS", [Math.ceil((numGroups + 1) / 64)], [sorted.offsets, groupOffsets, status]);

  const assignmentSlot = u32(total);
  const slotAssignment = u32(total);
  const slotToken = u32(total);
  const finishing = [keys, sorted.slots, sorted.offsets, groupOffsets, assignmentSlot, slotAssignment, slotToken];
  run("FINISH", total === 0 ? [0] : grid1d(total, 64), finishing);
  for (const tensor of [keys, sorted.counts, sorted.offsets, sorted.order, sorted.slots]) tensor.dispose();
  return { assignmentToken, tokenOffsets, assignmentSlot, slotAssignment, slotToken, groupOffsets, status };
}
