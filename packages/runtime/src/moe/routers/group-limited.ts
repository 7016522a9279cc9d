import type { Device } from "../../device/device.ts";
import { ConfigError, ShapeError } from "../../device/errors.ts";
import { ones } from "../../kernels/fill.ts";
import { zeros } from "../../nn/initializers.ts";
import type { Parameter } from "../../nn/module.ts";
import { add, multiply, scale, sigmoid } from "../../ops/elementwise.ts";
import { reshape } from "../../ops/layout.ts";
import { linear } from "../../ops/matmul.ts";
import { sum } from "../../ops/reduction.ts";
import { softmax } from "../../ops/softmax.ts";
import { putAlong, takeAlong, topK } from "../../ops/top-k.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type Routing, sparseRouting } from "../routing.ts";
import { shares } from "./choices.ts";
import { type RouteContext, Router, type RouterOptions } from "./router.ts";

type F32 = Tensor<"f32">;

export interface GroupLimitedRouterOptions extends RouterOptions {
  /** softmax (DeepSeek, DeepSeek-V2) or sigmoid (V3) of the logits. Default softmax */
  scoring?: "softmax" | "sigmoid";
  /** G: the experts make so many runs of neighbours. Default 1 */
  numGroups?: number;
  /** Groups that a token may choose from. Default all */
  topKGroups?: number;
  /** A group's score: its largest (V2) or the sum of its two largest (V3). Default max */
  groupScore?: "max" | "top-2-sum";
  /** Whether a bias without a gradient takes part in the choice, but not in the weights (V3); see updateBias. Default false */
  correctionBias?: boolean;
  /** Divides the chosen scores by their sum. Default false */
  normalizeTopK?: boolean;
  /** Multiplies the weights. Default 1 */
  routedScalingFactor?: number;
}

/**
 * The router of the DeepSeek family: scores s = softmax(W x) or sigmoid(W x); of the groups of experts the best are kept, scores of the
 * others count as 0; the K largest s (+ bias) are chosen, and weigh s.
 * @see Dai et al. 2024, arXiv:2401.06066; DeepSeek-AI 2024, arXiv:2405.04434, section 2.2.2, and arXiv:2412.19437, equations 13 to 16
 */
export class GroupLimitedRouter extends Router {
  readonly weight = this.parameter("weight", [this.numExperts, this.hiddenSize], this.initializer);
  /** [E], frozen */
  readonly correctionBias: Parameter | undefined;
  readonly #options: Required<Omit<GroupLimitedRouterOptions, keyof RouterOptions | "correctionBias">>;

  /** @throws {ConfigError} when the groups do not divide the experts, or hold fewer than topK where a token may choose */
  constructor(device: Device, options: GroupLimitedRouterOptions) {
    super(device, options);
    const { numGroups = 1, topKGroups = numGroups } = options;
    const groupSize = this.numExperts / numGroups;
    if (
      !(
        Number.isInteger(groupSize) &&
        topKGroups >= 1 &&
        topKGroups <= numGroups &&
        topKGroups * groupSize >= this.topK
      )
    )
      throw new ConfigError(
        `GroupLimitedRouter: ${topKGroups} of ${numGroups} groups of ${this.numExperts} experts for topK ${this.topK}; groups must divide the experts, and those that are kept must hold topK`,
      );
    this.#options = {
      scoring: options.scoring ?? "softmax",
      numGroups,
      topKGroups,
      groupScore: options.groupScore ?? "max",
      normalizeTopK: options.normalizeTopK ?? false,
      routedScalingFactor: options.routedScalingFactor ?? 1,
    };
    if (options.correctionBias) {
      this.correctionBias = this.parameter("e_score_correction_bias", [this.numExperts], zeros);
      this.correctionBias.trainable = false;
    }
  }

  override route(x: F32, _state?: undefined, { mask }: RouteContext = {}): Routing<undefined> {
    const { scoring, normalizeTopK, routedScalingFactor } = this.#options;
    const logits = linear(x, this.weight); // [N, E]
    const scores = scoring === "softmax" ? softmax(logits) : sigmoid(logits);
    const biased = this.correctionBias ? add(scores, this.correctionBias) : scores;
    const { indices } = topK(this.#withinGroups(biased), this.topK);
    const chosen = takeAlong(scores, indices); // [N, K]
    const weights = normalizeTopK ? shares(chosen) : chosen;
    const probs = scoring === "softmax" ? scores : shares(scores);
    return sparseRouting({ indices, weights: scale(weights, routedScalingFactor), probs, logits, mask });
  }

  /** Scores of experts outside the best groups become 0. */
  #withinGroups(scores: F32): F32 {
    const { numGroups, topKGroups, groupScore } = this.#options;
    if (topKGroups === numGroups) return scores;
    const numTokens = scores.axis(0);
    const byGroup = reshape(scores, [numTokens, numGroups, this.numExperts / numGroups]);
    const best = topK(byGroup, groupScore === "max" ? 1 : Math.min(2, byGroup.axis(2))).values;
    const kept = topK(sum(best, 2), topKGroups).indices; // [N, topKGroups]
    const isKept = putAlong(ones(this.device, kept.shape, "f32"), kept, numGroups);
    return reshape(multiply(byGroup, reshape(isKept, [numTokens, numGroups, 1])), scores.shape);
  }

  /**
   * Balances without a loss: the bias of experts with less than an even load rises by `rate`, that of the others falls.
   * @param tokensPerExpert [E] of the last step: see routingStatistics
   * @throws {ConfigError} for a router without a bias
   * @throws {ShapeError} for another number of experts
   * @see DeepSeek-AI 2024, arXiv:2412.19437, section 2.1.2; Wang et al. 2024, arXiv:2408.15664
   */
  async updateBias(tokensPerExpert: readonly number[], rate = 1e-3): Promise<void> {
    const { correctionBias, numExperts } = this;
    if (!correctionBias) throw new ConfigError("GroupLimitedRouter: updateBias needs correctionBias: true");
    if (tokensPerExpert.length !== numExperts)
      throw new ShapeError(`updateBias: loads of ${tokensPerExpert.length} experts, expected ${numExperts}`);
    const even = tokensPerExpert.reduce((a, b) => a + b, 0) / numExperts;
    const bias = await correctionBias.read();
    correctionBias.write(bias.map((b, e) => b + rate * Math.sign(even - (tokensPerExpert[e] as number))));
  }
}
