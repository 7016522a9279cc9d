import type { Device } from "../../device/device.ts";
import { ShapeError } from "../../device/errors.ts";
import { full, ones, zeros } from "../../kernels/fill.ts";
import { map } from "../../kernels/map.ts";
import { putAlong } from "../../kernels/take-along.ts";
import { randomUniform } from "../../ops/dropout.ts";
import { multiply, scale, subtract } from "../../ops/elementwise.ts";
import { reshape } from "../../ops/layout.ts";
import { sum } from "../../ops/reduction.ts";
import { logSumExp, softmax } from "../../ops/softmax.ts";
import { expectShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type AuxLossOptions, meanOverTokens } from "../losses.ts";
import { type Routing, sparseRouting } from "../routing.ts";
import { everyExpert } from "./choices.ts";
import { type RouteContext, Router, type RouterOptions } from "./router.ts";
import { stepKey } from "./step-key.ts";

type F32 = Tensor<"f32">;

/** Who shares a draw at inference: each token has its own, all tokens of a sentence, or nobody draws and all experts are averaged. */
export type StochasticInference = "token" | "sentence" | "average";

export interface StochasticRouterOptions extends Omit<RouterOptions, "topK" | "initializer"> {
  /** Default token, as the reference */
  inference?: StochasticInference;
}

export interface StochasticContext extends RouteContext {
  /** Sentences of equal length, one after another, that the tokens make; for inference by sentence. Default 1 */
  numSentences?: number;
}

/**
 * THOR's stochastic experts: no router at all. In training one expert, drawn evenly, serves the whole mini-batch; layers and passes draw
 * by themselves, so split the key by layer and by pass. Run each batch twice, and add `consistencyLoss` of the two predictions.
 * At inference an expert is drawn for each token or sentence, or all are averaged.
 * @see Zuo et al. 2021, arXiv:2110.04260, section 3
 */
export class StochasticRouter extends Router {
  inference: StochasticInference;

  constructor(device: Device, { inference = "token", ...options }: StochasticRouterOptions) {
    super(device, { ...options, topK: 1 });
    this.inference = inference;
  }

  /**
   * @throws {ValueError} without a key, unless all experts are averaged
   * @throws {ShapeError} when the sentences do not divide the tokens
   */
  override route(x: F32, _state?: undefined, context: StochasticContext = {}): Routing<undefined> {
    const { device, numExperts } = this;
    const numTokens = x.axis(0);
    const indices = this.#draw(numTokens, context); // [N, 1], or [N, E]
    const weights = scale(ones(device, indices.shape, "f32"), 1 / indices.axis(1));
    const probs = putAlong(weights, indices, numExperts);
    const logits = zeros(device, [numTokens, numExperts], "f32");
    return sparseRouting({ indices, weights, probs, logits, mask: context.mask });
  }

  #draw(numTokens: number, context: StochasticContext): Tensor<"u32"> {
    const { device, numExperts, inference } = this;
    if (!context.training && inference === "average") {
      return map("a", [everyExpert(device, numExperts)], { dtype: "u32", shape: [numTokens, numExperts] });
    }
    const key = stepKey("StochasticRouter", "experts", context);
    if (context.training) {
      const [place = 0] = key.uniform(1);
      return full(device, [numTokens, 1], Math.floor(place * numExperts), "u32");
    }
    const draws = inference === "token" ? numTokens : (context.numSentences ?? 1);
    if (draws < 1 ? numTokens > 0 : numTokens % draws !== 0)
      throw new ShapeError(`StochasticRouter: ${numTokens} tokens cannot make ${draws} sentences of one length`);
    const places = randomUniform(device, key, [draws, 1]);
    const spread = map("a", [places], { shape: [draws, numTokens / Math.max(1, draws)] });
    const experts = map("OUT_TYPE(min(floor(a * s0), T(s1)))", [spread], {
      scalars: [numExperts, numExperts - 1],
      dtype: "u32",
    });
    return reshape(experts, [numTokens, 1]);
  }
}

/**
 * Pulls two predictions of the same tokens together: the mean over tokens of ½ Σ_v (q₁ − q₂)(ln q₁ − ln q₂) = ½ (KL(q₁‖q₂) + KL(q₂‖q₁)) with
 * q = softmax of the logits. Gradients flow into both.
 * @param first [N, V]
 * @param second as first
 * @returns a scalar, unscaled: the published coefficient is 5 on IWSLT14, 1 by default
 * @see Zuo et al. 2021, arXiv:2110.04260, equation 3
 */
export function consistencyLoss(first: F32, second: F32, { mask }: AuxLossOptions = {}): F32 {
  expectShape("consistencyLoss", "second", second.shape, first.shape);
  const numTokens = first.axis(0);
  const logShares = (logits: F32) => subtract(logits, reshape(logSumExp(logits), [numTokens, 1]));
  const difference = subtract(softmax(first), softmax(second));
  const divergence = sum(multiply(difference, subtract(logShares(first), logShares(second))), 1);
  return reshape(scale(meanOverTokens(reshape(divergence, [numTokens, 1]), mask), 0.5), []);
}
