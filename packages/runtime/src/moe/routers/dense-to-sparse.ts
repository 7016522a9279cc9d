import type { Device } from "../../device/device.ts";
import { ConfigError } from "../../device/errors.ts";
import { map } from "../../kernels/map.ts";
import { randomGumbel } from "../../ops/dropout.ts";
import { add, multiply, scale } from "../../ops/elementwise.ts";
import { reshape } from "../../ops/layout.ts";
import { linear } from "../../ops/matmul.ts";
import { sum } from "../../ops/reduction.ts";
import { softmax } from "../../ops/softmax.ts";
import { putAlong, softmaxTopK, takeAlong, topK } from "../../ops/top-k.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { viewOf } from "../../tensor/views.ts";
import { type AuxLossOptions, meanOverTokens, share } from "../losses.ts";
import { type Routing, sparseRouting } from "../routing.ts";
import { everyExpert, onlyChosen } from "./choices.ts";
import { type RouteContext, Router, type RouterOptions } from "./router.ts";
import { stepKey } from "./step-key.ts";

type F32 = Tensor<"f32">;

export interface DenseToSparseRouterOptions extends Omit<RouterOptions, "topK"> {
  /** τ to begin with; see annealedTemperature. Default 2 */
  temperature?: number;
  /** c: an expert is chosen when its share is larger. Default 0.001 */
  threshold?: number;
  /** Weighs by the noisy shares in place of softmax(l). Default false, as the reference */
  useGumbelGates?: boolean;
  /** Chooses the largest share alone. Default false */
  hard?: boolean;
}

/** Noise of a step in place of the key's. */
export interface DenseToSparseContext extends RouteContext {
  /** [N, E] Gumbel(0, 1) */
  gumbel?: F32;
}

/**
 * EvoMoE's dense-to-sparse gate. In training w = softmax((W x + ζ) / τ) with Gumbel noise ζ; every expert with w > c is chosen, weighed by
 * softmax(W x) or by w, not renormalised: all experts while τ is large, few as it falls. At evaluation the one expert with the largest
 * softmax(W x). Set `temperature` and `hard` before a step.
 * @see Nie et al. 2021, arXiv:2112.14397, section 3.2
 */
export class DenseToSparseRouter extends Router {
  readonly weight = this.parameter("weight", [this.numExperts, this.hiddenSize], this.initializer);
  temperature: number;
  hard: boolean;
  readonly threshold: number;
  readonly useGumbelGates: boolean;

  /** @throws {ConfigError} for a temperature that is not above 0 or a threshold outside 0 … 1 */
  constructor(device: Device, options: DenseToSparseRouterOptions) {
    super(device, { ...options, topK: 1 });
    this.temperature = options.temperature ?? 2;
    this.hard = options.hard ?? false;
    this.threshold = options.threshold ?? 0.001;
    this.useGumbelGates = options.useGumbelGates ?? false;
    if (!(this.temperature > 0 && this.threshold >= 0 && this.threshold < 1))
      throw new ConfigError(
        `DenseToSparseRouter: temperature ${this.temperature} and threshold ${this.threshold}, expected above 0, and 0 to 1`,
      );
  }

  override route(x: F32, _state?: undefined, context: DenseToSparseContext = {}): Routing<undefined> {
    const { mask } = context;
    const logits = linear(x, this.weight); // [N, E]
    if (!(context.training || context.gumbel)) {
      const { probs, indices, values } = softmaxTopK(logits, 1);
      return sparseRouting({ indices, weights: values, probs, logits, mask });
    }
    const gumbel =
      context.gumbel ?? randomGumbel(this.device, stepKey("DenseToSparseRouter", "noise", context), logits.shape);
    const shares = softmax(scale(add(logits, gumbel), 1 / this.temperature));
    const probs = softmax(logits);
    const { indices, weights } = this.hard ? this.#largest(shares, probs) : this.#above(shares, probs);
    return sparseRouting({ indices, weights, probs, logits, mask });
  }

  #largest(shares: F32, probs: F32) {
    const { values, indices } = topK(shares, 1);
    return { indices, weights: this.useGumbelGates ? values : takeAlong(probs, indices) };
  }

  /** Every expert has its place; those that are not chosen leave it empty. */
  #above(shares: F32, probs: F32) {
    const chosen = map("select(T(0.0), T(1.0), a > s0)", [shares], { scalars: [this.threshold] });
    const indices = onlyChosen(everyExpert(this.device, this.numExperts), chosen);
    return { indices, weights: multiply(chosen, this.useGumbelGates ? shares : probs) };
  }
}

/**
 * Evens the load of a dense-to-sparse gate: E² · mean_e(mean gate of e · share of tokens that chose e); gradients flow through the gates.
 * @returns a scalar, unscaled; the reference's coefficient is the run's own (0.01 is usual)
 * @see the reference implementation of Nie et al. 2021, arXiv:2112.14397
 */
export function denseToSparseLoss(routing: Routing, { mask }: AuxLossOptions = {}): F32 {
  const { plan, weights, probs } = routing;
  const numExperts = probs.axis(-1);
  const places = [plan.numTokens, plan.maxAssignments / Math.max(1, plan.numTokens)];
  const gates = putAlong(reshape(weights, places), viewOf(plan.assignmentExpert, places), numExperts); // [N, E]
  return scale(sum(multiply(meanOverTokens(gates, mask), share(routing, "concatenated", mask))), numExperts);
}

export interface TemperatureOptions {
  schedule: "exponential" | "linear";
  /** t: steps that are done. */
  step: number;
  /** D: from here on the temperature stays. */
  decaySteps: number;
  /** Default 2 */
  maximum?: number;
  /** Default 0.3 */
  minimum?: number;
}

/**
 * τ of a step: max(τ_max (τ_min / τ_max)^(t / D), τ_min), or max(τ_max − t (τ_max − τ_min) / D, τ_min).
 * @throws {ConfigError} for a step below 0, no decay steps, or temperatures that do not fall to one above 0
 * @see Nie et al. 2021, arXiv:2112.14397, section 3.2
 */
export function annealedTemperature({
  schedule,
  step,
  decaySteps,
  maximum = 2,
  minimum = 0.3,
}: TemperatureOptions): number {
  if (!(step >= 0 && decaySteps >= 1 && minimum > 0 && minimum <= maximum))
    throw new ConfigError(
      `annealedTemperature: step ${step} of ${decaySteps} from ${maximum} to ${minimum}; expected 0 or more, 1 or more, and 0 < minimum ≤ maximum`,
    );
  const share = step / decaySteps;
  const falling =
    schedule === "linear" ? maximum - share * (maximum - minimum) : maximum * (minimum / maximum) ** share;
  return Math.max(falling, minimum);
}
