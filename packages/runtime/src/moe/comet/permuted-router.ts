import { reshape } from "../../ops/layout.ts";
import { putAlong } from "../../ops/top-k.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { viewOf } from "../../tensor/views.ts";
import { type RouteContext, Router } from "../routers/router.ts";
import type { PermutationLearner } from "./permutation-learner.ts";
import { type SelectorRouting, selectorRouting } from "./selector-routing.ts";

type F32 = Tensor<"f32">;

/**
 * Any gate with a learned order of its experts: its weights g become g P over their sum. For gates of selectors with a permutation each,
 * pass the permutation to them.
 * @see Ibrahim et al. 2023, arXiv:2306.02824, section 4
 */
export class PermutedRouter extends Router {
  readonly router: Router;
  readonly learner: PermutationLearner;

  constructor(router: Router, learner: PermutationLearner) {
    const { hiddenSize, numExperts, topK } = router;
    super(router.device, { hiddenSize, numExperts, topK });
    this.router = this.child("router", router);
    this.learner = this.child("permutation", learner);
  }

  override route(x: F32, _state?: undefined, context: RouteContext = {}): SelectorRouting {
    const { plan, weights, logits } = this.router.route(x, undefined, context);
    const places = [plan.numTokens, plan.maxAssignments / Math.max(1, plan.numTokens)];
    const gates = putAlong(reshape(weights, places), viewOf(plan.assignmentExpert, places), this.numExperts); // [N, E]
    const single = reshape(gates, [plan.numTokens, 1, this.numExperts]);
    const permuted = { ...context, permutation: this.learner.permutation() };
    return selectorRouting({
      gates: single,
      selectors: single,
      decisions: gates,
      logits,
      context: permuted,
      normalize: true,
    });
  }
}
