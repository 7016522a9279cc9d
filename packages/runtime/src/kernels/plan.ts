import { defineKernel, grid1d } from "../device/kernel.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import { rowsOf } from "../tensor/views.ts";
import { countingSort } from "./counting-sort.ts";
import { zeros } from "./fill.ts";
import code from "./plan.wgsl";
import params from "./plan-params.wgsl";
import serving from "./plan-serving.wgsl";
import smallCode from "./plan-small.wgsl";

const kernel = defineKernel("plan", code, { params, serving });
const smallKernel = defineKernel("plan-small", smallCode, { params, serving });

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
  numExperts: number;
  /** R: tokens are R routing groups of N / R neighbours. Default 1 */
  routingGroups?: number;
  /** Most rows that an expert gets of a routing group; the rest is dropped. */
  capacity: number;
  /** Who is served first when capacity is short: `token` by token, or all first `choice`s before all second ones (GShard). */
  priority: "token" | "choice";
  /** [N] u32: the tokens, or [N · K] u32: the assignments, as they are served. Default: tokens as they come */
  order?: U32 | undefined;
  /** [N] f32: tokens with 0 are not routed. */
  mask: Tensor<"f32"> | undefined;
}

/**
 * Specialisations of the kernel for few assignments: counters of threads times groups fill 8 KiB of workgroup memory, and a thread
 * serves at most 256 assignments.
 */
const SMALL = [
  { threads: 32, groups: 64, assignments: 8192 },
  { threads: 16, groups: 128, assignments: 4096 },
  { threads: 8, groups: 256, assignments: 2048 },
];
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
  few = experts.size <= (smallFor(options)?.assignments ?? 0),
): PlanTensors {
  const small = few ? smallFor(options) : undefined;
  return small ? buildSmall(experts, weights, options, small) : buildLarge(experts, weights, options);
}

function smallFor(options: PlanOptions) {
  return SMALL.find(({ groups }) => numGroups(options) <= groups);
}

function buildSmall(
  experts: U32,
  weights: Tensor<"f32">,
  options: PlanOptions,
  { threads, groups }: (typeof SMALL)[number],
): PlanTensors {
  const { device, size: total } = experts;
  const lengths = {
    assignmentToken: total,
    tokenOffsets: experts.axis(0) + 1,
    assignmentSlot: total,
    slotAssignment: total,
    slotToken: total,
    groupOffsets: options.numExperts + 1,
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
    defines: { THREADS: threads, GROUPS: groups },
    bindings: [experts, weights, options.mask ?? weights, options.order ?? experts, plan].map((tensor) =>
      tensor.binding(),
    ),
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

function numGroups({ numExperts, routingGroups = 1 }: PlanOptions): number {
  return numExperts * routingGroups;
}

function sharedParams(experts: U32, options: PlanOptions) {
  const { routingGroups = 1, capacity, priority, order, mask } = options;
  return {
    tokens: experts.axis(0),
    top_k: experts.axis(1),
    groups: numGroups(options),
    routing_groups: routingGroups,
    group_tokens: Math.max(1, experts.axis(0) / routingGroups),
    capacity,
    by_choice: priority === "choice" ? 1 : 0,
    has_order: order ? 1 + Number(order.size !== experts.axis(0)) : 0,
    has_mask: mask ? 1 : 0,
  };
}

function buildLarge(experts: U32, weights: Tensor<"f32">, options: PlanOptions): PlanTensors {
  const { numExperts, mask, order = experts } = options;
  const groups = numGroups(options);
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
    order,
  ]);

  const sorted = countingSort(keys, groups);
  const cutOffsets = u32(groups + 1);
  const groupOffsets = u32(numExperts + 1);
  run("OFFSETS", [Math.ceil((groups + 1) / 64)], [sorted.offsets, cutOffsets, groupOffsets, status]);

  const assignmentSlot = u32(total);
  const slotAssignment = u32(total);
  const slotToken = u32(total);
  const finishing = [keys, sorted.slots, sorted.offsets, cutOffsets, assignmentSlot, slotAssignment, slotToken, order];
  run("FINISH", total === 0 ? [0] : grid1d(total, 64), finishing);
  for (const tensor of [keys, cutOffsets, sorted.counts, sorted.offsets, sorted.order, sorted.slots]) tensor.dispose();
  return { assignmentToken, tokenOffsets, assignmentSlot, slotAssignment, slotToken, groupOffsets, status };
}
