import type { Device } from "../../device/device.ts";
import { ConfigError } from "../../device/errors.ts";
import { argsortDescending } from "../../kernels/argsort.ts";
import { map } from "../../kernels/map.ts";
import { truncatedNormal } from "../../nn/initializers.ts";
import { randomGumbel, randomUniform } from "../../ops/dropout.ts";
import { add, multiply } from "../../ops/elementwise.ts";
import { reshape } from "../../ops/layout.ts";
import { linear } from "../../ops/matmul.ts";
import { softmax } from "../../ops/softmax.ts";
import { softmaxTopK, takeAlong, topK } from "../../ops/top-k.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type CapacityOptions, capacityOf, routingGroupsOf } from "../capacity.ts";
import { type Routing, sparseRouting } from "../routing.ts";
import { type RouteContext, Router, type RouterOptions } from "./router.ts";
import { stepKey } from "./step-key.ts";

type F32 = Tensor<"f32">;

export interface SwitchRouterOptions extends Omit<RouterOptions, "topK">, CapacityOptions {
  /** ε: in training the router, and it alone, sees x · U(1 − ε, 1 + ε). Default 0; Switch uses 0.01 */
  jitterNoise?: number;
  /** In training the tokens that find room are drawn at random; otherwise the earliest do. Default false */
  randomTokenSelection?: boolean;
  /** In training the expert is a sample of the softmax (logits + Gumbel noise), not its largest. Default false */
  sampling?: boolean;
}

/** Noise of a step in place of the key's. */
export interface SwitchContext extends RouteContext {
  /** [N, H] factors of the router's input */
  jitter?: F32;
  /** [N, E] added to the logits before the choice */
  gumbel?: F32;
  /** [N, E]: of an expert's tokens those with the largest numbers find room */
  priorities?: F32;
}

/**
 * One expert a token: p = softmax(W x), the largest p is the expert and the weight, as it is.
 * C = max(⌈N / E · capacityFactor⌉, minCapacity). Losses: balanceLoss "switch" with 0.01, zLoss with 0.001 (ST-MoE). W starts as
 * truncated normal numbers with variance 0.1 / H.
 * @see Fedus et al. 2021, arXiv:2101.03961, section 2; Zoph et al. 2022, arXiv:2202.08906; random token selection: Kim et al. 2021,
 *   arXiv:2109.10465
 */
export class SwitchRouter extends Router {
  readonly weight = this.parameter("weight", [this.numExperts, this.hiddenSize], this.initializer);
  readonly options: SwitchRouterOptions;

  /** @throws {ConfigError} unless 0 ≤ jitterNoise < 1 */
  constructor(device: Device, options: SwitchRouterOptions) {
    const initializer = options.initializer ?? truncatedNormal(Math.sqrt(0.1 / options.hiddenSize));
    super(device, { ...options, initializer, topK: 1 });
    const { jitterNoise = 0 } = options;
    if (!(jitterNoise >= 0 && jitterNoise < 1))
      throw new ConfigError(`SwitchRouter: jitterNoise is ${jitterNoise}, expected 0 ≤ jitterNoise < 1`);
    this.options = options;
  }

  override route(x: F32, _state?: undefined, context: SwitchContext = {}): Routing<undefined> {
    const numTokens = x.axis(0);
    const jitter = this.#jitter(x, context);
    const logits = linear(jitter ? multiply(x, jitter) : x, this.weight); // [N, E]
    const { probs, indices, weights } = this.#choose(logits, context);
    const routingGroups = routingGroupsOf(numTokens, this.options.groupSize);
    const capacity = capacityOf(numTokens / routingGroups, this.numExperts, 1, this.options, context);
    const order = this.#order(indices, context);
    return sparseRouting({ indices, weights, probs, logits, mask: context.mask, capacity, routingGroups, order });
  }

  #jitter(x: F32, { jitter, ...context }: SwitchContext): F32 | undefined {
    const { jitterNoise = 0 } = this.options;
    if (jitter || !context.training || jitterNoise === 0) return jitter;
    const uniform = randomUniform(this.device, stepKey("SwitchRouter", "jitter", context), x.shape);
    return map("T(1.0) + s0 * (2.0 * a - T(1.0))", [uniform], { scalars: [jitterNoise] });
  }

  #choose(logits: F32, { gumbel, ...context }: SwitchContext): { probs: F32; indices: Tensor<"u32">; weights: F32 } {
    const noise =
      gumbel ??
      (context.training && this.options.sampling
        ? randomGumbel(this.device, stepKey("SwitchRouter", "gumbel", context), logits.shape)
        : undefined);
    if (!noise) {
      const { values: weights, ...choice } = softmaxTopK(logits, 1); // [N, 1]
      return { ...choice, weights };
    }
    const probs = softmax(logits);
    const { indices } = topK(add(logits, noise), 1);
    return { probs, indices, weights: takeAlong(probs, indices) };
  }

  /** Tokens by falling random numbers. */
  #order(indices: Tensor<"u32">, { priorities, ...context }: SwitchContext): Tensor<"u32"> | undefined {
    const size = indices.axis(0);
    if (priorities) return argsortDescending(reshape(takeAlong(priorities, indices), [size]));
    if (!context.training || !this.options.randomTokenSelection) return undefined;
    return argsortDescending(randomUniform(this.device, stepKey("SwitchRouter", "priorities", context), [size]));
  }
}
