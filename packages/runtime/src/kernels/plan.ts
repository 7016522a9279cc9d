import { defineKernel, grid1d } from "../device/kernel.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import { rowsOf } from "../tensor/views.ts";
import { countingSort } from "./counting-sort.ts";
import { zeros } from "./fill.ts";
import code from "./plan.wgsl";
import smallCode from "./plan-small.wgsl";

const kernel = defineKernel("plan", code);
const smallKernel = defineKernel("plan-small", smallCode);

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

/** Threads and groups of the kernel for few assignments: their counters fill workgroup memory. */
const SMALL = { threads: 32, groups: 64, assignments: 8192 };
/** Parts of a buffer begin where a binding may. */
const PART_ALIGNMENT = 64;

/**
 * Groups the assignments of `experts` [N, K] by expert, in a fixed order, without read-back: one dispatch for few assignments, eight
 * for many.
 * @param few Default: by their number
 */
export function buildPlan(
  experts: U32,
  weights: Tensor<"f32">,
  options: PlanOptions,
  few = experts.size <= SMALL.assignments && options.numGroups <= SMALL.groups,
): PlanTensors {
  return few ? buildSmall(experts, weights, options) : buildLarge(experts, weights, options);
}

function buildSmall(experts: U32, weights: Tensor<"f32">, options: PlanOptions): PlanTensors {
  const { device, size: total } = experts;
  const lengths = {
    assignmentToken: total,
    tokenOffsets: experts.axis(0) + 1,
    assignmentSlot: total,
    slotAssignment: total,
    slotToken: total,
    groupOffsets: options.numGroups + 1,
    status: 4,
  };
  const begins: Record<string, number> = {};
  let size = 0;
  for (const [part, length] of Object.entries(lengths)) {
    begins[part] = size;
    size += Math.ceil(length / PART_ALIGNMENT) * PART_ALIGNMENT;
  }
  const plan = empty(device, [size], "u32");
  const part = (name: keyof typeof lengths) => rowsOf(plan, begins[name] ?? 0, lengths[name]);
  device.dispatch({
    kernel: smallKernel,
    defines: { THREADS: SMALL.threads, GROUPS: SMALL.groups },
    bindings: [experts, weights, options.mask ?? weights, plan].map((tensor) => tensor.binding()),
    params: {
      ...sharedParams(experts, options),
      token_offsets: begins.tokenOffsets ?? 0,
      assignment_slot: begins.assignmentSlot ?? 0,
      slot_assignment: begins.slotAssignment ?? 0,
      slot_token: begins.slotToken ?? 0,
      group_offsets: begins.groupOffsets ?? 0,
      status: begins.status ?? 0,
    },
    grid: [1],
  });
  const tensors = {
    assignmentToken: part("assignmentToken"),
    tokenOffsets: part("tokenOffsets"),
    assignmentSlot: part("assignmentSlot"),
    slotAssignment: part("slotAssignment"),
    slotToken: part("slotToken"),
    groupOffsets: part("groupOffsets"),
    status: part("status"),
  };
  plan.dispose();
  return tensors;
}

function sharedParams(experts: U32, { numGroups, capacity, priority, mask }: PlanOptions) {
  return {
    tokens: experts.axis(0),
    top_k: experts.axis(1),
    groups: numGroups,
    capacity,
    by_choice: priority === "choice" ? 1 : 0,
    has_mask: mask ? 1 : 0,
  };
}

function buildLarge(experts: U32, weights: Tensor<"f32">, options: PlanOptions): PlanTensors {
  const { numGroups, mask } = options;
  const { device } = experts;
  const [tokens, topK] = [experts.axis(0), experts.axis(1)];
  const total = tokens * topK;
  const u32 = (length: number) => empty(device, [length], "u32");
  const params = sharedParams(experts, options);
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
