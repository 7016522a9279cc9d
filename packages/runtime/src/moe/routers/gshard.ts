import type { Device } from "../../device/device.ts";
import { map } from "../../kernels/map.ts";
import { randomGumbel, randomUniform } from "../../ops/dropout.ts";
import { add, multiply } from "../../ops/elementwise.ts";
import { concat, reshape, slice } from "../../ops/layout.ts";
import { linear } from "../../ops/matmul.ts";
import { softmaxTopK, takeAlong, topK } from "../../ops/top-k.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { viewOf } from "../../tensor/views.ts";
import { type CapacityOptions, capacityOf, routingGroupsOf } from "../capacity.ts";
import { planTopK } from "../plan.ts";
import type { Routing } from "../routing.ts";
import { rowMask, shares } from "./choices.ts";
import { type RouteContext, Router, type RouterOptions } from "./router.ts";
import { stepKey } from "./step-key.ts";

type F32 = Tensor<"f32">;
type U32 = Tensor<"u32">;

export interface GShardRouterOptions extends Omit<RouterOptions, "topK">, CapacityOptions {
  /**
   * How the second expert is found in training: the second largest logit (`argmax`, default), the largest of the others after Gumbel
   * noise (`gumbel`, DeepSpeed), or `argmax`, kept when 2 g₂ > U(0, 1) (`random`, GShard). Otherwise it is `argmax`, always kept.
   */
  secondExpert?: "argmax" | "gumbel" | "random";
  /** Whether g₁ and g₂ are divided by their sum before rows are dropped, or by that of the kept ones `after` (default). */
  normalize?: "before" | "after";
}

/** Noise of a step in place of the key's. */
export interface GShardContext extends RouteContext {
  /** [N, E] added to the logits of the second choice: makes it `gumbel` */
  gumbel?: F32;
  /** [N]: a second choice stays where 2 g₂ is larger: makes it `random` */
  uniform?: F32;
}

/**
 * Two experts a token, the second after all first choices: p = softmax(W x), weights g₁ / (g₁ + g₂) and g₂ / (g₁ + g₂).
 * C = max(⌈N / E · capacityFactor · 2⌉, minCapacity). Loss: balanceLoss "gshard" with 0.01.
 * @see Lepikhin et al. 2020, arXiv:2006.16668, algorithm 1; GLaM: Du et al. 2021, arXiv:2112.06905, equation 1
 */
export class GShardRouter extends Router {
  readonly weight = this.parameter("weight", [this.numExperts, this.hiddenSize], this.initializer);
  readonly options: GShardRouterOptions;

  constructor(device: Device, options: GShardRouterOptions) {
    super(device, { ...options, topK: 2 });
    this.options = options;
  }

  override route(x: F32, _state?: undefined, context: GShardContext = {}): Routing<undefined> {
    const numTokens = x.axis(0);
    const logits = linear(x, this.weight); // [N, E]
    const { probs, ...best } = softmaxTopK(logits, 2); // [N, 2]
    const noise = this.#noise(logits, context);
    let indices = noise.gumbel ? withSampledSecond(best.indices, add(logits, noise.gumbel)) : best.indices;
    let gates = noise.gumbel ? takeAlong(probs, indices) : best.values;
    if (this.options.normalize === "before") gates = shares(gates);
    if (noise.uniform) indices = withoutUnlikelySecond(indices, gates, noise.uniform);

    const routingGroups = routingGroupsOf(numTokens, this.options.groupSize);
    const capacity = capacityOf(numTokens / routingGroups, this.numExperts, 2, this.options, context);
    const { numExperts } = this;
    const { mask } = context;
    const plan = planTopK(indices, gates, { numExperts, capacity, priority: "choice", routingGroups, mask });
    const kept = multiply(gates, rowMask(plan, 2));
    const weights = this.options.normalize === "before" ? kept : shares(kept);
    return { kind: "sparse", plan, weights: reshape(weights, [weights.size]), probs, logits };
  }

  #noise(logits: F32, { gumbel, uniform, ...context }: GShardContext): Pick<GShardContext, "gumbel" | "uniform"> {
    const { secondExpert = "argmax" } = this.options;
    const draws = context.training && !gumbel && !uniform ? secondExpert : "argmax";
    const key = () => stepKey("GShardRouter", "second expert", context);
    if (draws === "gumbel") return { gumbel: randomGumbel(this.device, key(), logits.shape) };
    if (draws === "random") return { uniform: randomUniform(this.device, key(), [logits.axis(0)]) };
    return { ...(gumbel ? { gumbel } : {}), ...(uniform ? { uniform } : {}) };
  }
}

/** First choices beside the largest noisy logit of the other experts. */
function withSampledSecond(indices: U32, noisyLogits: F32): U32 {
  const first = slice(indices, 1, 0, 1);
  const { indices: sampled } = topK(noisyLogits, 2);
  const [likely, next] = [slice(sampled, 1, 0, 1), slice(sampled, 1, 1, 1)];
  return concat([first, map("select(a, b, a == c)", [likely, next, first], { dtype: "u32" })], 1);
}

/** Second choices with 2 g₂ ≤ u become NONE. */
function withoutUnlikelySecond(indices: U32, gates: F32, uniform: F32): U32 {
  const second = [slice(indices, 1, 1, 1), slice(gates, 1, 1, 1), viewOf(uniform, [uniform.size, 1])];
  const kept = map("select(~(a ^ a), a, 2.0 * b > c)", second, { dtype: "u32" });
  return concat([slice(indices, 1, 0, 1), kept], 1);
}
