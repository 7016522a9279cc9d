import type { Device } from "../../device/device.ts";
import { zeros } from "../../nn/initializers.ts";
import type { Parameter } from "../../nn/module.ts";
import { linear } from "../../ops/matmul.ts";
import { softmaxTopK } from "../../ops/top-k.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { evenShareCapacity } from "../capacity.ts";
import type { PlanOptions } from "../plan.ts";
import { type Routing, sparseRouting } from "../routing.ts";
import { type RouteContext, Router, type RouterOptions } from "./router.ts";

export interface TopKRouterOptions extends RouterOptions {
  /** Divides the chosen probabilities by their sum (Mixtral); Time-MoE and Qwen2-MoE use them as they are. Default false. */
  normalizeTopK?: boolean;
  /** Whether the logits have a bias, as FastMoE's gates do. Default false. */
  bias?: boolean;
  /** Most rows an expert takes as a multiple of an even share: C = ⌈N / E · capacityFactor · K⌉. Default: dropless. */
  capacityFactor?: number;
  /** Who is served first when capacity is short: tokens in order (default), or first choices before second ones (GShard). */
  priority?: PlanOptions["priority"];
}

/**
 * The router of most published models: p = softmax(W x + b), the K largest p are the weights.
 * @see Shazeer et al. 2017, arXiv:1701.06538, without noise; Fedus et al. 2021, arXiv:2101.03961, for the capacity
 */
export class TopKRouter extends Router {
  readonly weight = this.parameter("weight", [this.numExperts, this.hiddenSize], this.initializer);
  readonly bias: Parameter | undefined;
  readonly normalizeTopK: boolean;
  readonly capacityFactor: number | undefined;
  readonly priority: PlanOptions["priority"];

  constructor(device: Device, options: TopKRouterOptions) {
    super(device, options);
    this.bias = options.bias ? this.parameter("bias", [this.numExperts], zeros) : undefined;
    this.normalizeTopK = options.normalizeTopK ?? false;
    this.capacityFactor = options.capacityFactor;
    this.priority = options.priority ?? "token";
  }

  override route(x: Tensor<"f32">, _state?: undefined, { mask }: RouteContext = {}): Routing<undefined> {
    const logits = linear(x, this.weight, this.bias); // [N, E]
    const chosen = softmaxTopK(logits, this.topK, { normalize: this.normalizeTopK });
    const { probs, indices, values: weights } = chosen; // [N, E]; [N, K]
    const { numExperts, topK, capacityFactor: factor, priority } = this;
    const capacity = factor === undefined ? undefined : evenShareCapacity(x.axis(0), numExperts, { factor, topK });
    return sparseRouting({ indices, weights, probs, logits, mask, capacity, priority });
  }
}
