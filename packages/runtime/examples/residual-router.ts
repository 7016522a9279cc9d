import { Router, type Routing, sparseRouting } from "@moebius/runtime/moe";
import { add, linear, softmax, topK } from "@moebius/runtime/ops";
import type { Tensor } from "@moebius/runtime/tensor";

interface Previous {
  previous: Tensor<"f32">;
}

/** Adds the logits of the layer before to this layer's own: gating residuals (Jin et al. 2024, arXiv:2410.07348, equation 6). */
export class ResidualRouter extends Router<Previous> {
  readonly weight = this.parameter("weight", [this.numExperts, this.hiddenSize]);

  override route(x: Tensor<"f32">, state?: Previous): Routing<Previous> {
    const own = linear(x, this.weight); // [N, E]
    const logits = state ? add(own, state.previous) : own;
    const probs = softmax(logits);
    const { indices, values } = topK(probs, this.topK); // [N, K]
    return sparseRouting({ indices, weights: values, probs, logits, state: { previous: logits } });
  }
}
