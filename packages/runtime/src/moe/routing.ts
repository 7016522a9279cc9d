import { reshape } from "../ops/layout.ts";
import type { Tensor } from "../tensor/tensor.ts";
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
}

export interface SparseRouting<State> extends Omit<PlanOptions, "numExperts"> {
  /** [N, K] u32 */
  indices: Tensor<"u32">;
  /** [N, K] f32 */
  weights: F32;
  probs: F32;
  logits: F32;
  state?: State;
}

/** Makes a Routing of a top-k choice: the last line of most routers. */
export function sparseRouting<State = undefined>({
  indices,
  weights,
  probs,
  logits,
  state,
  ...options
}: SparseRouting<State>): Routing<State> {
  const plan = planTopK(indices, weights, { ...options, numExperts: probs.axis(-1) });
  return {
    kind: "sparse",
    plan,
    weights: reshape(weights, [weights.size]),
    probs,
    logits,
    ...(state === undefined ? {} : { state }),
  };
}
