import type { Device } from "../../device/device.ts";
import { ConfigError } from "../../device/errors.ts";
import { map } from "../../kernels/map.ts";
import type { Parameter } from "../../nn/module.ts";
import { add, multiply, scale } from "../../ops/elementwise.ts";
import { concat, slice } from "../../ops/layout.ts";
import { linear } from "../../ops/matmul.ts";
import { mean, sum } from "../../ops/reduction.ts";
import { softmaxTopK } from "../../ops/top-k.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type AuxLossOptions, meanOverTokens, share } from "../losses.ts";
import { type Routing, sparseRouting } from "../routing.ts";
import { shares } from "./choices.ts";
import { type RouteContext, Router, type RouterOptions } from "./router.ts";

type F32 = Tensor<"f32">;

export interface NullExpertsRouterOptions extends Omit<RouterOptions, "topK"> {
  /** m: experts whose output is zero, in addition to the numExperts true ones. 0 makes a plain top-k router. */
  numNullExperts: number;
  /** k': choices of a token among all n + m, true or null. */
  numChoices: number;
}

/**
 * AdaMoE: p = softmax([W x; W₀ x]) over n true and m null experts, the k' largest are chosen, and the weights are p over the sum of the
 * chosen true ones. So a token takes as many true experts as it needs, on average k' n / (n + m) when all are used evenly; one that
 * chose null experts alone gets 0. Null choices (ids from n on) take no row. `probs` and `logits` are [N, n + m].
 * @see Zeng et al. 2024, arXiv:2406.13233, section 3
 */
export class NullExpertsRouter extends Router {
  readonly numNullExperts: number;
  readonly numChoices: number;
  /** [n, H] */
  readonly gate: Parameter;
  /** [m, H]; absent without null experts */
  readonly nullGate: Parameter | undefined;

  /** @throws {ConfigError} for a negative number of null experts, or numChoices outside 1 … n + m */
  constructor(device: Device, { numNullExperts, numChoices, ...options }: NullExpertsRouterOptions) {
    const total = options.numExperts + numNullExperts;
    if (!(Number.isInteger(numNullExperts) && numNullExperts >= 0))
      throw new ConfigError(`NullExpertsRouter: numNullExperts is ${numNullExperts}, expected a count`);
    if (!(Number.isInteger(numChoices) && numChoices >= 1 && numChoices <= total))
      throw new ConfigError(`NullExpertsRouter: numChoices is ${numChoices}, expected 1 to ${total}, all experts`);
    super(device, { ...options, topK: Math.min(numChoices, options.numExperts) });
    this.numNullExperts = numNullExperts;
    this.numChoices = numChoices;
    this.gate = this.parameter("gate.weight", [this.numExperts, this.hiddenSize], this.initializer);
    this.nullGate =
      numNullExperts > 0
        ? this.parameter("gate2.weight", [numNullExperts, this.hiddenSize], this.initializer)
        : undefined;
  }

  override route(x: F32, _state?: undefined, { mask }: RouteContext = {}): Routing<undefined> {
    const trueLogits = linear(x, this.gate);
    const logits = this.nullGate ? concat([trueLogits, linear(x, this.nullGate)], 1) : trueLogits; // [N, n + m]
    const { probs, indices, values } = softmaxTopK(logits, this.numChoices); // [N, K]
    const isTrue = map("select(T(0.0), T(1.0), T(a) < s0)", [indices], { scalars: [this.numExperts] });
    const chosen = multiply(values, isTrue);
    return sparseRouting({ indices, weights: shares(chosen), probs, logits, mask, numExperts: this.numExperts });
  }
}

/**
 * Evens the load of true experts and the total of null ones: (n + m) (Σ true f_e P_e + f̄ Σ null P_e), with f_e the share of tokens that
 * chose e, f̄ its mean over null experts, and P_e the mean probability, through which gradients flow; k' at balance. How null choices
 * split among equal null experts does not matter.
 * @param numExperts n: the true ones
 * @returns a scalar, unscaled; the published coefficient is 0.001
 * @see Zeng et al. 2024, arXiv:2406.13233, equation 7
 */
export function nullBalanceLoss(routing: Routing, numExperts: number, { mask }: AuxLossOptions = {}): F32 {
  const total = routing.probs.axis(-1);
  const load = share(routing, "concatenated", mask);
  const probabilities = meanOverTokens(routing.probs, mask);
  const part = (x: F32, from: number, to: number) => slice(x, 0, from, to - from);
  const product = sum(multiply(part(load, 0, numExperts), part(probabilities, 0, numExperts)));
  if (numExperts === total) return scale(product, total);
  const nulls = multiply(mean(part(load, numExperts, total)), sum(part(probabilities, numExperts, total)));
  return scale(add(product, nulls), total);
}
