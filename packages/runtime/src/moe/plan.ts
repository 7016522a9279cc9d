import { ShapeError, ValueError } from "../device/errors.ts";
import { type CompactPlan, compactPlan } from "../kernels/compact-choices.ts";
import { buildPlan } from "../kernels/plan.ts";
import type { GroupedRows } from "../ops/row-groups.ts";
import { formatShape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { viewOf } from "../tensor/views.ts";

type U32 = Tensor<"u32">;

/** Marks a dropped assignment in `assignmentSlot`. */
export const NONE = 0xffffffff;

/**
 * Which token goes where: integers only, on the device, never read back by the layer. N tokens, A assignments (an upper bound),
 * G groups (the experts). Experts and kernels never ask which router made it.
 */
export interface RoutingPlan extends GroupedRows {
  readonly numTokens: number;
  readonly numGroups: number;
  /** R: capacity counts within each of R runs of N / R tokens. */
  readonly routingGroups: number;
  /** A: a bound known to the host, so that captures stay valid. */
  readonly maxAssignments: number;
  /** [A] the token of each assignment, in token order. */
  readonly assignmentToken: U32;
  /** [A] its expert; ids from numGroups on name experts without a product, NONE no expert. */
  readonly assignmentExpert: U32;
  /** [N + 1] which assignments a token has. */
  readonly tokenOffsets: U32;
  /** [A] its row among the grouped rows; NONE: dropped, or an expert without a product. */
  readonly assignmentSlot: U32;
  /** [A] the assignment of each grouped row; NONE past the last group. */
  readonly slotAssignment: U32;
  /** [A] the token of each grouped row: assignmentToken of slotAssignment, 0 past the last group. */
  readonly slotToken: U32;
  /** [G + 1] exact, unpadded: the rows of group g are groupOffsets[g] .. groupOffsets[g + 1]. */
  readonly groupOffsets: U32;
  /** [4] rows in total, dropped assignments, overflow of A, assignments with a weight that is not finite. */
  readonly status: U32;
  /** Of compact plans: the place of each assignment among the choices [N · K], and the assignment of each place. */
  readonly compact?: Pick<CompactPlan, "choicePlace" | "placeAssignment">;
}

export interface PlanOptions {
  numExperts: number;
  /** Most rows an expert takes (C) of a routing group; the rest is dropped. Default: no limit (dropless). */
  capacity?: number | undefined;
  /** Who is served first when capacity is short: token by token (default), or first choices before second ones (GShard). */
  priority?: "token" | "choice" | undefined;
  /**
   * [N] u32, each token once: who is served first when capacity is short, within the rule of `priority`. Default: as they come.
   * Falling weight is batch priority (Riquelme et al. 2021, arXiv:2106.05974, section 4), random numbers are random token selection.
   * Or [N · K] u32, each place of the choices once, in place of `priority`.
   */
  order?: U32 | undefined;
  /** R: capacity counts within each of R runs of N / R neighbouring tokens. Default 1 */
  routingGroups?: number | undefined;
  /**
   * A: most assignments of ragged choices. Places with NONE and padding take none then, so A may be far below N · K; assignments
   * beyond A get no row and count as overflow in `status`. Default N · K, a place each.
   */
  maxAssignments?: number | undefined;
  /** [N] f32, 0 = padding: such tokens take no expert rows. */
  mask?: Tensor<"f32"> | undefined;
}

/**
 * The plan of a top-k choice; of a ragged one, with NONE in the places that a token does not use.
 * @param indices [N, K] u32, best first; ids from numExperts on take no row. An id that occurs twice in a token takes two rows and
 *   counts twice, with the same sum as one row of both weights: see mergeDuplicates
 * @param weights [N, K] f32: only looked at for values that are not finite
 * @throws {ShapeError} when indices, weights, mask, order and routingGroups do not fit together
 * @throws {ValueError} for a capacity or maxAssignments that is no count
 */
export function planTopK(indices: U32, weights: Tensor<"f32">, options: PlanOptions): RoutingPlan {
  const { numExperts, capacity = indices.size, priority = "token", order, routingGroups = 1, mask } = options;
  expectFit(indices, weights, options);
  const counted = options.capacity === undefined ? 1 : routingGroups; // where all have room, nobody counts
  const build = (experts: U32) =>
    buildPlan(experts, weights, { numExperts, routingGroups: counted, capacity, priority, order, mask });
  const maxAssignments = Math.min(options.maxAssignments ?? indices.size, indices.size);
  const host = { numTokens: indices.axis(0), numGroups: numExperts, routingGroups, maxAssignments };
  if (options.maxAssignments === undefined)
    return { ...host, assignmentExpert: viewOf(indices, [maxAssignments]), ...build(indices) };
  const { choicePlace, placeAssignment, ...plan } = compactPlan(indices, maxAssignments, mask, build);
  return { ...host, ...plan, compact: { choicePlace, placeAssignment } };
}

function expectFit(
  indices: U32,
  weights: Tensor<"f32">,
  { capacity, order, routingGroups = 1, maxAssignments, mask }: PlanOptions,
): void {
  if (indices.rank !== 2 || weights.size !== indices.size)
    throw new ShapeError(
      `planTopK: indices ${formatShape(indices.shape)} and weights ${formatShape(weights.shape)} must both be [tokens, k]`,
    );
  const numTokens = indices.axis(0);
  if (mask && mask.size !== numTokens)
    throw new ShapeError(`planTopK: mask ${formatShape(mask.shape)} for ${numTokens} tokens`);
  if (order && order.size !== numTokens && order.size !== indices.size)
    throw new ShapeError(
      `planTopK: order ${formatShape(order.shape)} for ${numTokens} tokens, or ${indices.size} choices of theirs`,
    );
  if (!(Number.isInteger(routingGroups) && routingGroups >= 1 && numTokens % routingGroups === 0))
    throw new ShapeError(`planTopK: ${numTokens} tokens cannot make ${routingGroups} routing groups of one size`);
  for (const [name, count] of Object.entries({ capacity, maxAssignments }))
    if (count !== undefined && !(Number.isInteger(count) && count >= 0))
      throw new ValueError(`planTopK: ${name} must be a count of rows, got ${count}`);
}
