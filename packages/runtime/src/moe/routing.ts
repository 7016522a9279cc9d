import { gatherRows } from "../kernels/gather-rows.ts";
import { mergeDuplicates as mergeKernel } from "../kernels/merge-duplicates.ts";
import { takeAlong } from "../kernels/take-along.ts";
import { reshape } from "../ops/layout.ts";
import { differentiable } from "../ops/tape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { viewOf } from "../tensor/views.ts";
import { type PlanOptions, planTopK, type RoutingPlan } from "./plan.ts";

type F32 = Tensor<"f32">;

/**
 * What a router answers for N tokens and E experts. Gradients reach the router through `weights` and `probs`; the plan has none.
 */
export interface Routing<State = unknown> {
  /** sparse: rows of chosen experts; dense: every expert for every token; product: keys of a product, with a layer of its own. */
  readonly kind: "sparse" | "dense" | "product";
  readonly plan: RoutingPlan;
  /** [A] the factor of each assignment, in token order. */
  readonly weights: F32;
  /** [N, E] what the balance losses look at. */
  readonly probs: F32;
  /** [N, E] what the z-loss looks at. */
  readonly logits: F32;
  /** What passes to the router of the next layer. */
  readonly state?: State;
  /** Of routers that chose by noisy logits: what loadLoss estimates the chance of a choice from. */
  readonly noise?: RoutingNoise;
}

/** Logits with noise, of which the topK largest were chosen: noisy = logits + deviation · N(0, 1). */
export interface RoutingNoise {
  /** [N, E] */
  readonly noisyLogits: F32;
  /** [N, E], or the same for all */
  readonly deviation: F32 | number;
  readonly topK: number;
}

export interface SparseRouting<State> extends Omit<PlanOptions, "numExperts"> {
  /** [N, K] u32 */
  indices: Tensor<"u32">;
  /** [N, K] f32 */
  weights: F32;
  probs: F32;
  logits: F32;
  state?: State;
  noise?: RoutingNoise | undefined;
  /** Experts with a product; ids from there on take no row. Default: as many as probs has. */
  numExperts?: number;
  /** Whether a token may name an expert twice: its weights are added up then, and it takes one row. Default false */
  mergeDuplicates?: boolean;
}

/** Makes a Routing of a top-k choice: the last line of most routers. */
export function sparseRouting<State = undefined>({
  probs,
  logits,
  state,
  noise,
  numExperts = probs.axis(-1),
  mergeDuplicates: mayRepeat = false,
  ...choices
}: SparseRouting<State>): Routing<State> {
  const { indices, weights, ...options } = mayRepeat ? { ...choices, ...mergeDuplicates(choices) } : choices;
  const plan = planTopK(indices, weights, { ...options, numExperts });
  return {
    kind: "sparse",
    plan,
    weights: weightsInOrder(weights, plan),
    probs,
    logits,
    ...(state === undefined ? {} : { state }),
    ...(noise === undefined ? {} : { noise }),
  };
}

/**
 * Adds up the weights of a token that names an expert twice: the first place keeps the expert, later ones become NONE with weight 0.
 * @param choices indices [N, K] u32 and weights [N, K]
 */
export function mergeDuplicates({ indices, weights }: { indices: Tensor<"u32">; weights: F32 }) {
  const { experts, weights: sums, first } = mergeKernel(indices, weights);
  // d(sum at first[k]) / d weight[k] = 1
  differentiable("mergeDuplicates", [weights], [sums], [first], ([dy], [first]) => [
    takeAlong(dy as F32, first as Tensor<"u32">),
  ]);
  return { indices: experts, weights: sums };
}

/** Weights [N, K] of places to weights [A] of assignments; 0 past the last assignment. */
function weightsInOrder(weights: F32, { compact }: RoutingPlan): F32 {
  if (!compact) return reshape(weights, [weights.size]);
  const pick = (x: F32, places: Tensor<"u32">) => gatherRows(viewOf(x, [x.size, 1]), places);
  const { shape } = weights;
  const chosen = viewOf(pick(weights, compact.choicePlace), [compact.choicePlace.size]);
  // Each place has one assignment or none, so the way back picks, too.
  differentiable("weightsInOrder", [weights], [chosen], [compact.placeAssignment], ([dy], [places]) => [
    viewOf(pick(dy as F32, places as Tensor<"u32">), shape),
  ]);
  return chosen;
}
