import type { Device } from "../../device/device.ts";
import { ConfigError } from "../../device/errors.ts";
import { ones } from "../../kernels/fill.ts";
import { uniform, zeros } from "../../nn/initializers.ts";
import type { Parameter } from "../../nn/module.ts";
import { addScalar, multiply, reciprocal, smoothStep } from "../../ops/elementwise.ts";
import { reshape } from "../../ops/layout.ts";
import { linear, matmul } from "../../ops/matmul.ts";
import { sum } from "../../ops/reduction.ts";
import { softmax } from "../../ops/softmax.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { Router, type RouterOptions } from "../routers/router.ts";
import { codePaths, pathProbabilities, type Turn } from "./binary-paths.ts";
import type { PermutationLearner } from "./permutation-learner.ts";
import { type SelectorContext, type SelectorRouting, selectorRouting } from "./selector-routing.ts";

type F32 = Tensor<"f32">;

export interface DSelectKRouterOptions extends Omit<RouterOptions, "topK"> {
  /** k: each selector comes to choose one expert. */
  numSelectors: number;
  /** γ of the smooth step. Default 1 */
  stepWidth?: number;
  /** Whether all tokens share one choice, which is learned without looking at them. Default false */
  isStatic?: boolean;
  /** The order of the experts, learned beside; the context may bring one that gates share. */
  learner?: PermutationLearner;
}

/**
 * DSelect-k: each of k selectors spells the number of an expert in binary, bit by bit with probability smoothStep(z), so that expert i
 * has the product of its bits' probabilities, and a softmax over k weighs the selectors. Train with `selectorEntropy`, and
 * `reachabilityLoss` when the number of experts is no power of two. `logits` are the selectors' [N, k].
 * @see Hazimeh et al. 2021, arXiv:2106.03760, section 3
 */
export class DSelectKRouter extends Router {
  readonly numSelectors: number;
  readonly stepWidth: number;
  readonly isStatic: boolean;
  /** [k m, H] selector by selector, most significant bit first, and biases [k m]; biases alone when static. */
  readonly codeWeight: Parameter | undefined;
  readonly codeBias: Parameter;
  /** [k, H] and [k] */
  readonly selectorWeight: Parameter | undefined;
  readonly selectorBias: Parameter;
  readonly learner: PermutationLearner | undefined;
  readonly #paths: Turn[][];

  /** @throws {ConfigError} for fewer than two experts, no selector, or a width that is not above 0 */
  constructor(
    device: Device,
    { numSelectors: k, stepWidth = 1, isStatic = false, learner, ...options }: DSelectKRouterOptions,
  ) {
    const { numExperts: n, hiddenSize } = options;
    if (!(Number.isInteger(n) && n >= 2 && Number.isInteger(k) && k >= 1 && stepWidth > 0))
      throw new ConfigError(
        `DSelectKRouter: ${k} selectors of ${n} experts, step width ${stepWidth}; expected at least 1 and 2, and above 0`,
      );
    super(device, { ...options, topK: Math.min(k, n) });
    this.numSelectors = k;
    this.stepWidth = stepWidth;
    this.isStatic = isStatic;
    this.#paths = codePaths(n);
    const codes = k * (this.#paths[0]?.length ?? 1);
    const undecided = uniform(stepWidth / 100);
    const matrix = (name: string, rows: number) =>
      isStatic ? undefined : this.parameter(name, [rows, hiddenSize], this.initializer ?? undecided);
    this.codeWeight = matrix("code.weight", codes);
    this.codeBias = this.parameter("code.bias", [codes], undecided);
    this.selectorWeight = matrix("selector.weight", k);
    this.selectorBias = this.parameter("selector.bias", [k], isStatic ? undecided : zeros);
    this.learner = learner && this.child("permutation", learner);
  }

  /** @returns the routing; `selectors` are the codes' probabilities */
  override route(x: F32, _state?: undefined, context: SelectorContext = {}): SelectorRouting {
    const [N, k, n] = [x.axis(0), this.numSelectors, this.numExperts];
    const rows = (weight: F32 | undefined, bias: F32) =>
      weight ? linear(x, weight, bias) : matmul(ones(x.device, [N, 1], "f32"), reshape(bias, [1, bias.size]));
    const decisions = smoothStep(rows(this.codeWeight, this.codeBias), this.stepWidth); // [N, k m]
    const codes = pathProbabilities(reshape(decisions, [N * k, decisions.axis(1) / k]), this.#paths); // [N k, n]
    const logits = rows(this.selectorWeight, this.selectorBias); // [N, k]
    const selectors = reshape(codes, [N, k, n]);
    const gates = multiply(selectors, reshape(softmax(logits), [N, k, 1]));
    return selectorRouting({
      gates,
      selectors,
      decisions,
      logits,
      context: { permutation: this.learner?.permutation(), ...context },
      normalize: false,
    });
  }
}

/**
 * Keeps codes off numbers that name no expert: Σ over tokens and selectors of 1 / (1e-6 + Σ_i q_i). A sum over the batch, as in the
 * reference, so that its strength grows with the batch.
 * @returns a scalar, unscaled
 */
export function reachabilityLoss({ selectors }: SelectorRouting): F32 {
  return sum(reciprocal(addScalar(sum(selectors, 2), 1e-6)));
}
