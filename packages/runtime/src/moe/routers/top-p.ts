import type { Device } from "../../device/device.ts";
import { ConfigError } from "../../device/errors.ts";
import { map } from "../../kernels/map.ts";
import { multiply, scale } from "../../ops/elementwise.ts";
import { linear, matmul } from "../../ops/matmul.ts";
import { softmaxTopK } from "../../ops/top-k.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { type Routing, sparseRouting } from "../routing.ts";
import { onlyChosen, shares } from "./choices.ts";
import { type RouteContext, Router, type RouterOptions } from "./router.ts";

export interface TopPRouterOptions extends Omit<RouterOptions, "topK"> {
  /** p: experts are added until their probabilities exceed it. Default 0.4, the published one */
  threshold?: number;
  /** Experts that a token takes at least. Default 1 */
  minExperts?: number;
  /** And at most, which bounds the plan. Default: all */
  maxExperts?: number;
  /** Divides the chosen probabilities by their sum. Default false */
  normalize?: boolean;
  /** Divides the logits. Default 1 */
  temperature?: number;
}

/**
 * Top-p routing: of the probabilities s_1 ≥ s_2 ≥ … of softmax(W x / temperature) the r-th expert is kept while s_1 + … + s_{r−1} ≤ p, so
 * that a token the router is unsure of takes more experts. Weights are the probabilities as they are. `threshold` may change between
 * calls. Trained with `entropyLoss` (published coefficient 1e-4) and `balanceLoss` (1e-2); without the former the experts of a token
 * become many.
 * @see Huang et al. 2024, arXiv:2403.07652, section 3
 */
export class TopPRouter extends Router {
  readonly weight = this.parameter("weight", [this.numExperts, this.hiddenSize], this.initializer);
  threshold: number;
  readonly minExperts: number;
  readonly normalize: boolean;
  readonly temperature: number;

  /** @throws {ConfigError} unless 1 ≤ minExperts ≤ maxExperts ≤ numExperts, 0 ≤ threshold ≤ 1 and the temperature is above 0 */
  constructor(device: Device, options: TopPRouterOptions) {
    const { threshold = 0.4, minExperts = 1, maxExperts = options.numExperts, normalize = false } = options;
    super(device, { ...options, topK: maxExperts });
    const { temperature = 1 } = options;
    if (!(minExperts >= 1 && minExperts <= maxExperts && threshold >= 0 && threshold <= 1 && temperature > 0))
      throw new ConfigError(
        `TopPRouter: threshold ${threshold}, ${minExperts} to ${maxExperts} of ${this.numExperts} experts, temperature ${temperature}; expected 0 to 1, 1 ≤ minExperts ≤ maxExperts ≤ numExperts, above 0`,
      );
    this.threshold = threshold;
    this.minExperts = minExperts;
    this.normalize = normalize;
    this.temperature = temperature;
  }

  override route(x: Tensor<"f32">, _state?: undefined, { mask }: RouteContext = {}): Routing<undefined> {
    const { topK: K, minExperts, temperature } = this;
    const scores = linear(x, this.weight);
    const logits = temperature === 1 ? scores : scale(scores, 1 / temperature); // [N, E]
    const { probs, indices, values } = softmaxTopK(logits, K); // [N, K], falling
    // before[r] = Σ over q < r of s_q, or below 0 for the first minExperts.
    const earlier = Float32Array.from({ length: K * K }, (_, i) => {
      const [q, r] = [Math.floor(i / K), i % K];
      if (r < minExperts) return q === 0 ? -1 : 0;
      return q < r ? 1 : 0;
    });
    const before = matmul(values, tensor(this.device, earlier, [K, K]));
    const kept = map("select(T(0.0), T(1.0), a <= s0)", [before], { scalars: [this.threshold] });
    const chosen = multiply(values, kept);
    const weights = this.normalize ? shares(chosen) : chosen;
    return sparseRouting({ indices: onlyChosen(indices, kept), weights, probs, logits, mask });
  }
}
