import type { Device } from "../../device/device.ts";
import { zeros } from "../../nn/initializers.ts";
import { randomNormal } from "../../ops/dropout.ts";
import { add, addScalar, multiply, softplus } from "../../ops/elementwise.ts";
import { linear } from "../../ops/matmul.ts";
import { softmax } from "../../ops/softmax.ts";
import { topK } from "../../ops/top-k.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type Routing, sparseRouting } from "../routing.ts";
import { type RouteContext, Router, type RouterOptions } from "./router.ts";
import { stepKey } from "./step-key.ts";

type F32 = Tensor<"f32">;

export interface NoisyTopKRouterOptions extends RouterOptions {
  /** Least deviation of the noise. Default 0.01, as in the authors' code and fastmoe */
  noiseEpsilon?: number;
}

/** Noise of a step in place of the key's. */
export interface NoisyTopKContext extends RouteContext {
  /** [N, E] standard normal */
  noise?: F32;
}

/**
 * h = W x + N(0, 1) · (softplus(W_noise x) + ε) in training, W x otherwise; the weights are the softmax over the K largest h. Both
 * matrices are zero at the start, unless an initializer is given. Losses: importanceLoss of `weights` and loadLoss `kth-of-others`,
 * with 0.1 each.
 * @see Shazeer et al. 2017, arXiv:1701.06538, equations 3 to 5, appendix A
 */
export class NoisyTopKRouter extends Router {
  readonly weight;
  readonly noiseWeight;
  readonly noiseEpsilon: number;

  constructor(device: Device, options: NoisyTopKRouterOptions) {
    super(device, options);
    const shape = [this.numExperts, this.hiddenSize];
    this.weight = this.parameter("weight", shape, options.initializer ?? zeros);
    this.noiseWeight = this.parameter("noise_weight", shape, options.initializer ?? zeros);
    this.noiseEpsilon = options.noiseEpsilon ?? 0.01;
  }

  override route(x: F32, _state?: undefined, context: NoisyTopKContext = {}): Routing<undefined> {
    const logits = linear(x, this.weight); // [N, E]
    const noise = this.#noisy(x, logits, context);
    const { values, indices } = topK(noise?.noisyLogits ?? logits, this.topK); // [N, K]
    return sparseRouting({
      indices,
      weights: softmax(values),
      probs: softmax(logits),
      logits,
      mask: context.mask,
      noise,
    });
  }

  #noisy(x: F32, logits: F32, { noise, ...context }: NoisyTopKContext) {
    if (!noise && !context.training) return undefined;
    const deviation = addScalar(softplus(linear(x, this.noiseWeight)), this.noiseEpsilon);
    const drawn = noise ?? randomNormal(this.device, stepKey("NoisyTopKRouter", "noise", context), logits.shape);
    return { noisyLogits: add(logits, multiply(drawn, deviation)), deviation, topK: this.topK };
  }
}
