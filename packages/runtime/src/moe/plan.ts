import { ShapeError, ValueError } from "../device/errors.ts";
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
 * G groups (a group is an expert, or an expert within a routing group). Experts and kernels never ask which router made it.
 */
export interface RoutingPlan extends GroupedRows {
  readonly numTokens: number;
  readonly numGroups: number;
  /** A: a bound known to the host, so that captures stay valid. */
  readonly maxAssignments: number;
  /** [A] the token of each assignment, in token order. */
  readonly assignmentToken: U32;
  /** [A] its expert; ids from numGroups on name experts without a product. */
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
}

export interface PlanOptions {
  numExperts: number;
  /** Most rows an expert takes (C); the rest is dropped. Default: no limit (dropless). */
  capacity?: number | undefined;
  /** Who is served first when capacity is short: tokens in order (default), or first choices before second ones (GShard). */
  priority?: "token" | "choice" | undefined;
  /** [N] f32, 0 = padding: such tokens take no expert rows. */
  mask?: Tensor<"f32"> | undefined;
}

/**
 * The plan of a fixed top-k choice.
 * @param indices [N, K] u32, best first; ids from numExperts on take no row. An id that occurs twice in a token takes two rows and
 *   counts twice, with the same sum as one row of both weights: a router that repeats itself should merge before
 * @param weights [N, K] f32: only looked at for values that are not finite
 * @throws {ShapeError} when indices, weights and mask do not fit together
 * @throws {ValueError} for a capacity that is no count
 */
export function planTopK(
  indices: U32,
  weights: Tensor<"f32">,
  { numExperts, capacity, priority = "token", mask }: PlanOptions,
): RoutingPlan {
  if (indices.rank !== 2 || weights.size !== indices.size)
    throw new ShapeError(
      `planTopK: indices ${formatShape(indices.shape)} and weights ${formatShape(weights.shape)} must both be [tokens, k]`,
    );
  const numTokens = indices.axis(0);
  const maxAssignments = indices.size;
  if (mask && mask.size !== numTokens)
    throw new ShapeError(`planTopK: mask ${formatShape(mask.shape)} for ${numTokens} tokens`);
  if (capacity !== undefined && !(Number.isInteger(capacity) && capacity >= 0))
    throw new ValueError(`planTopK: capacity must be a count of rows, got ${capacity}`);
  const tensors = buildPlan(indices, weights, {
    numGroups: numExperts,
    capacity: capacity ?? maxAssignments,
    priority,
    mask,
  });
  return {
    numTokens,
    numGroups: numExperts,
    maxAssignments,
    assignmentExpert: viewOf(indices, [maxAssignments]),
    ...tensors,
  };
}
