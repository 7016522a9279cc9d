import type { Device } from "../../device/device.ts";
import { ConfigError, ShapeError } from "../../device/errors.ts";
import { arange } from "../../kernels/fill.ts";
import { map } from "../../kernels/map.ts";
import type { Parameter } from "../../nn/module.ts";
import { add, divide, multiply, scale, sqrt, square, subtract, tanh } from "../../ops/elementwise.ts";
import { reshape } from "../../ops/layout.ts";
import { linear } from "../../ops/matmul.ts";
import { mean, sum } from "../../ops/reduction.ts";
import { softmax } from "../../ops/softmax.ts";
import { softmaxTopK } from "../../ops/top-k.ts";
import { formatShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type ZeroComputation, zeroComputationIds } from "../experts/zero-computation-experts.ts";
import { type AuxLossOptions, meanOverTokens, share } from "../losses.ts";
import { type Routing, sparseRouting } from "../routing.ts";
import { shares } from "./choices.ts";
import { type RouteContext, Router, type RouterOptions } from "./router.ts";

type F32 = Tensor<"f32">;

/** The scores of the layer before, [N, E]. */
export interface GatingResidual {
  scores: F32;
}

export interface GatingResidualRouterOptions extends RouterOptions {
  /** Experts of the layer that compute nothing, out of numExperts; ids as ZeroComputationExperts has them. Default: none */
  zeroComputation?: ZeroComputation;
  /** Two layers with a tanh between them (hidden width 8 E, the published default), or one. Default true */
  hasHiddenLayer?: boolean;
  /** Scores are divided by their deviation over the experts and multiplied by this before the softmax. Default: as they are */
  scoreDeviation?: number;
  /**
   * softmax (default): of the chosen probabilities that of a zero expert counts as 0, and the others are divided by their sum; mixtral: the
   * softmax of the chosen scores, where a zero expert keeps its share.
   */
  gating?: "softmax" | "mixtral";
  /** γ: most rows of a true expert as a multiple of its expected share, ⌈γ τ k N / (τ n + m)⌉. Default: dropless */
  capacityFactor?: number;
  /** τ of that share: see heterogeneousBalanceLoss. Default 0.75 */
  zeroComputationShare?: number;
}

/**
 * The router of MoE++: scores G_l = W x + V G_{l−1}, the second term from the layer before ("gating residual", none in the first), of which
 * the K largest are chosen among true experts and those that compute nothing. G passes on as `state`, and is `logits`. Works for
 * ordinary experts as well.
 * @see Jin et al. 2024, arXiv:2410.07348, sections 3.2 and 3.3; the gate's hidden layer and the deviation are the released code's
 */
export class GatingResidualRouter extends Router<GatingResidual> {
  /** [E, H], or [8 E, H] and [E, 8 E] */
  readonly gate: readonly Parameter[];
  /** V [E, E] */
  readonly gateMap: Parameter;
  readonly #options: GatingResidualRouterOptions;
  readonly #kinds: ReturnType<typeof zeroComputationIds>;

  /** @throws {ConfigError} for a deviation or capacity factor that is not above 0, or no true expert */
  constructor(device: Device, options: GatingResidualRouterOptions) {
    super(device, options);
    const { scoreDeviation = 1, capacityFactor = 1, zeroComputationShare = 0.75 } = options;
    if (![scoreDeviation, capacityFactor, zeroComputationShare].every((number) => number > 0))
      throw new ConfigError(
        `GatingResidualRouter: scoreDeviation ${scoreDeviation}, capacityFactor ${capacityFactor}, zeroComputationShare ${zeroComputationShare}; expected above 0`,
      );
    this.#options = options;
    this.#kinds = zeroComputationIds(options.numExperts, options.zeroComputation);
    const [E, H] = [this.numExperts, this.hiddenSize];
    const declare = (name: string, shape: number[]) => this.parameter(name, shape, this.initializer);
    this.gate =
      (options.hasHiddenLayer ?? true)
        ? [declare("wg.0.weight", [8 * E, H]), declare("wg.2.weight", [E, 8 * E])]
        : [declare("wg.weight", [E, H])];
    this.gateMap = declare("gate_map.weight", [E, E]);
  }

  /** @throws {ShapeError} when the scores of the layer before are for other tokens or experts */
  override route(x: F32, state?: GatingResidual, { mask }: RouteContext = {}): Routing<GatingResidual> {
    const scores = this.#scores(x, state);
    const {
      scoreDeviation,
      gating = "softmax",
      capacityFactor: gamma,
      zeroComputationShare: tau = 0.75,
    } = this.#options;
    const { numTrue, firstZero } = this.#kinds;
    const logits = scoreDeviation === undefined ? scores : scale(divide(scores, deviation(scores)), scoreDeviation);
    const { probs, indices, values } = softmaxTopK(logits, this.topK, { normalize: gating === "mixtral" });
    const counts = map("select(T(0.0), T(1.0), T(a) < s0)", [indices], { scalars: [firstZero] });
    const weights = gating === "mixtral" ? values : shares(multiply(values, counts));
    const expected = (tau * this.topK * x.axis(0)) / (tau * numTrue + this.numExperts - numTrue);
    return sparseRouting<GatingResidual>({
      indices,
      weights,
      probs: scoreDeviation === undefined ? probs : softmax(scores),
      logits: scores,
      mask,
      numExperts: numTrue,
      capacity: gamma === undefined ? undefined : Math.ceil(gamma * expected),
      state: { scores },
    });
  }

  #scores(x: F32, state: GatingResidual | undefined): F32 {
    const [first, second] = this.gate as [Parameter, Parameter | undefined];
    const own = second ? linear(tanh(linear(x, first)), second) : linear(x, first);
    if (!state) return own;
    const { scores } = state;
    if (scores.axis(0) !== x.axis(0) || scores.axis(1) !== this.numExperts)
      throw new ShapeError(
        `GatingResidualRouter: scores ${formatShape(scores.shape)} of the layer before for ${x.axis(0)} tokens and ${this.numExperts} experts`,
      );
    return add(own, linear(scores, this.gateMap));
  }
}

/** The unbiased standard deviation of each row, [N, E] to [N, 1]. */
function deviation(x: F32): F32 {
  const [N, E] = [x.axis(0), x.axis(1)];
  const centred = subtract(x, reshape(mean(x, 1), [N, 1]));
  return sqrt(scale(reshape(sum(square(centred), 1), [N, 1]), 1 / (E - 1)));
}

export interface HeterogeneousBalanceOptions extends AuxLossOptions {
  /** n: experts with ids from here on compute nothing. */
  numTrueExperts: number;
  /** τ: the smaller, the more assignments go to experts that compute nothing. Default 0.75, the published one */
  zeroComputationShare?: number;
}

/**
 * Balances true experts and those that compute nothing with different weights: Σ_e η_e f_e P_e with η = 1 for true experts and τ for
 * others, f_e the share of tokens that chose e (Σ f = k) and P_e its mean probability, through which gradients flow.
 * @returns a scalar, unscaled; the published coefficient is 0.01
 * @see Jin et al. 2024, arXiv:2410.07348, equation 8
 */
export function heterogeneousBalanceLoss(
  routing: Routing,
  { mask, numTrueExperts, zeroComputationShare: tau = 0.75 }: HeterogeneousBalanceOptions,
): F32 {
  const load = share(routing, "concatenated", mask);
  const ids = arange(load.device, load.size, "f32");
  const weighed = map("select(a * s1, a, b < T(s0))", [load, ids], { scalars: [numTrueExperts, tau] });
  return sum(multiply(weighed, meanOverTokens(routing.probs, mask)));
}
