import type { Device } from "../../device/device.ts";
import { sigmoid } from "../../ops/elementwise.ts";
import { linear } from "../../ops/matmul.ts";
import { topK } from "../../ops/top-k.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type Routing, sparseRouting } from "../routing.ts";
import { shares } from "./choices.ts";
import { type RouteContext, Router, type RouterOptions } from "./router.ts";

type F32 = Tensor<"f32">;

export interface SigmoidTopKRouterOptions extends RouterOptions {
  /** Divides the chosen scores by their sum. Default false */
  normalizeTopK?: boolean;
}

/**
 * Experts do not compete in a sum: s = sigmoid(W x), the K largest s are the weights. The losses see s over its sum.
 * @see Csordás et al. 2023, arXiv:2310.10837, section 5 (σ-MoE)
 */
export class SigmoidTopKRouter extends Router {
  readonly weight = this.parameter("weight", [this.numExperts, this.hiddenSize], this.initializer);
  readonly normalizeTopK: boolean;

  constructor(device: Device, options: SigmoidTopKRouterOptions) {
    super(device, options);
    this.normalizeTopK = options.normalizeTopK ?? false;
  }

  override route(x: F32, _state?: undefined, { mask }: RouteContext = {}): Routing<undefined> {
    const logits = linear(x, this.weight); // [N, E]
    return sparseRouting({ ...sigmoidTopK(logits, this.topK, this.normalizeTopK), logits, mask });
  }
}

/** The K largest sigmoid(logits), over their sum if asked, and all of them over theirs. */
export function sigmoidTopK(
  logits: F32,
  k: number,
  normalize: boolean,
): { indices: Tensor<"u32">; weights: F32; probs: F32 } {
  const scores = sigmoid(logits);
  const { values, indices } = topK(scores, k);
  return { indices, weights: normalize ? shares(values) : values, probs: shares(scores) };
}
