import type { Device } from "../../device/device.ts";
import { ConfigError } from "../../device/errors.ts";
import { full } from "../../kernels/fill.ts";
import { uniform } from "../../nn/initializers.ts";
import type { Parameter } from "../../nn/module.ts";
import { add, addScalar, log, smoothStep, where } from "../../ops/elementwise.ts";
import { reshape } from "../../ops/layout.ts";
import { linear } from "../../ops/matmul.ts";
import { softmax } from "../../ops/softmax.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { Router, type RouterOptions } from "../routers/router.ts";
import { pathProbabilities, type Turn, treePaths } from "./binary-paths.ts";
import type { PermutationLearner } from "./permutation-learner.ts";
import { type SelectorContext, type SelectorRouting, selectorRouting } from "./selector-routing.ts";

type F32 = Tensor<"f32">;

export interface CometRouterOptions extends Omit<RouterOptions, "topK" | "initializer"> {
  /** k: each tree comes to choose one expert, so that a token has at most so many. */
  numTrees: number;
  /** γ: decisions further than γ / 2 from 0 are certain. Published: 0.01 to 10. Default 1 */
  stepWidth?: number;
  /** The order of the experts, learned beside; the context may bring one that gates share. */
  learner?: PermutationLearner;
}

/** What joins a leaf whose probability is 0: no share of the softmax is left. */
const IMPOSSIBLE = -3.4028234663852886e38;
const EPSILON = 1e-8;

/**
 * COMET: k soft decision trees with an expert at each leaf. A tree's node goes left with probability s = smoothStep(w x + b), a leaf has
 * the probability p of its path and the logit a = v x + c, and one softmax over all k n scores a + log(p + 1e-8), −∞ where p = 0, gives
 * the weights; the same leaf of all trees is the same expert. As decisions saturate, p becomes exactly 0 for all leaves but one a tree.
 * Train with `selectorEntropy`. `logits` are [N, k n].
 * @see Ibrahim et al. 2023, arXiv:2306.02824, section 3
 */
export class CometRouter extends Router {
  readonly numTrees: number;
  readonly stepWidth: number;
  /** [k (n − 1), H], tree by tree in heap order */
  readonly selectorWeight: Parameter;
  /** [k (n − 1)] */
  readonly selectorBias: Parameter;
  /** [k n, H], tree by tree in the order of experts */
  readonly leafWeight: Parameter;
  /** [k n] */
  readonly leafBias: Parameter;
  readonly learner: PermutationLearner | undefined;
  readonly #paths: Turn[][];

  /** @throws {ConfigError} for fewer than two experts, or a width that is not above 0 */
  constructor(device: Device, { numTrees, stepWidth = 1, learner, ...options }: CometRouterOptions) {
    const { numExperts: n, hiddenSize } = options;
    if (!(Number.isInteger(n) && n >= 2 && Number.isInteger(numTrees) && numTrees >= 1 && stepWidth > 0))
      throw new ConfigError(
        `CometRouter: ${numTrees} trees of ${n} experts, step width ${stepWidth}; expected at least 1 and 2, and above 0`,
      );
    super(device, { ...options, topK: Math.min(numTrees, n) });
    this.numTrees = numTrees;
    this.stepWidth = stepWidth;
    const [undecided, even] = [uniform(stepWidth / 100), uniform(0.05)];
    this.selectorWeight = this.parameter("selector.weight", [numTrees * (n - 1), hiddenSize], undecided);
    this.selectorBias = this.parameter("selector.bias", [numTrees * (n - 1)], undecided);
    this.leafWeight = this.parameter("leaf.weight", [numTrees * n, hiddenSize], even);
    this.leafBias = this.parameter("leaf.bias", [numTrees * n], even);
    this.#paths = treePaths(n).paths;
    this.learner = learner && this.child("permutation", learner);
  }

  /** @returns the routing; `selectors` are the leaves' probabilities */
  override route(x: F32, _state?: undefined, context: SelectorContext = {}): SelectorRouting {
    const [N, k, n] = [x.axis(0), this.numTrees, this.numExperts];
    const decisions = smoothStep(linear(x, this.selectorWeight, this.selectorBias), this.stepWidth);
    const leaves = pathProbabilities(reshape(decisions, [N * k, n - 1]), this.#paths); // [N k, n]
    const impossible = full(x.device, [1], IMPOSSIBLE, "f32");
    const logits = linear(x, this.leafWeight, this.leafBias); // [N, k n]
    const scores = add(logits, reshape(where(leaves, log(addScalar(leaves, EPSILON)), impossible), [N, k * n]));
    const selectors = reshape(leaves, [N, k, n]);
    const gates = reshape(softmax(scores), [N, k, n]);
    return selectorRouting({
      gates,
      selectors,
      decisions,
      logits,
      context: { permutation: this.learner?.permutation(), ...context },
      normalize: true,
    });
  }
}
