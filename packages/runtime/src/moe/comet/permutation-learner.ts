import { munkres } from "munkres";
import type { Device } from "../../device/device.ts";
import { ConfigError, ValueError } from "../../device/errors.ts";
import { uniform } from "../../nn/initializers.ts";
import { Module, type Parameter } from "../../nn/module.ts";
import { add, addScalar, divide, log, multiply, scale } from "../../ops/elementwise.ts";
import { reshape } from "../../ops/layout.ts";
import { sum } from "../../ops/reduction.ts";
import { sinkhorn } from "../../ops/sinkhorn.ts";
import { keep } from "../../tensor/scope.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";

type F32 = Tensor<"f32">;

export interface PermutationLearnerOptions {
  numExperts: number;
  /** m: 1 for all selectors, or one each. Default 1 */
  count?: number;
  /** T_p: steps after which the permutation is fixed. Published: 1 to 10 epochs of 100 */
  steps: number;
}

/**
 * Local search over the order of the experts, beside any gate: a doubly stochastic matrix P = Sinkhorn(W / τ, r) that cools down to a
 * permutation within the first T_p steps, and the permutation nearest to it from then on. Set `step`, use `permutation()` in the gate,
 * add 1e-4 · `permutationEntropy` to the loss, and call `fix()` once after step T_p. An evaluation before that uses the soft matrix.
 * @see Ibrahim et al. 2023, arXiv:2306.02824, section 4
 */
export class PermutationLearner extends Module {
  readonly numExperts: number;
  readonly steps: number;
  /** Steps that are done. */
  step = 0;
  /** [m, E, E] */
  readonly logWeights: Parameter;
  #fixed: F32 | undefined;

  /** @throws {ConfigError} for counts that are not positive integers */
  constructor(device: Device, { numExperts, count = 1, steps }: PermutationLearnerOptions) {
    super(device);
    if (![numExperts, count, steps].every((n) => Number.isInteger(n) && n >= 1))
      throw new ConfigError(
        `PermutationLearner: ${count} permutations of ${numExperts} experts in ${steps} steps; expected positive integers`,
      );
    this.numExperts = numExperts;
    this.steps = steps;
    this.logWeights = this.parameter("log_weights", [count, numExperts, numExperts], uniform(0.05));
  }

  /** [m, E, E]: soft, with a gradient, until `fix` was called. */
  permutation(): F32 {
    if (this.#fixed) return this.#fixed;
    const { temperature, iterations } = cooling(this.step, this.steps);
    return sinkhorn(scale(this.logWeights, 1 / temperature), iterations);
  }

  get isFixed(): boolean {
    return this.#fixed !== undefined;
  }

  /** Puts the assignment of largest total weight in the soft matrix's place; solved on the host, the one read-back. */
  async fix(): Promise<void> {
    const soft = this.permutation();
    this.fixTo(assignments(await soft.read(), this.numExperts));
  }

  /** Uses a permutation [m, E, E] that is known, as from a checkpoint. */
  fixTo(permutation: Float32Array<ArrayBuffer>): void {
    if (permutation.length !== this.logWeights.size)
      throw new ValueError(
        `PermutationLearner: a permutation of ${permutation.length} values, expected ${this.logWeights.size}`,
      );
    this.#fixed?.dispose();
    this.#fixed = keep(tensor(this.device, permutation, this.logWeights.shape));
    this.logWeights.trainable = false;
  }

  /** To save and restore beside the parameters. */
  async state(): Promise<{ step: number; permutation?: number[] }> {
    return { step: this.step, ...(this.#fixed ? { permutation: [...(await this.#fixed.read())] } : {}) };
  }

  restore({ step, permutation }: { step: number; permutation?: number[] }): void {
    this.step = step;
    if (permutation) this.fixTo(Float32Array.from(permutation));
  }

  override [Symbol.dispose](): void {
    super[Symbol.dispose]();
    this.#fixed?.dispose();
  }
}

/** τ from 1e-3 to 1e-7, evenly in its logarithm, and Sinkhorn's iterations from 20 to 150, within `steps`. */
export function cooling(step: number, steps: number): { temperature: number; iterations: number } {
  const share = Math.min(1, step / steps);
  return { temperature: 10 ** (-3 - 4 * share), iterations: Math.trunc(20 + 130 * share) };
}

/** The permutations of largest total weight. @param weights [m, E, E] */
export function assignments(weights: Float32Array, numExperts: number): Float32Array<ArrayBuffer> {
  const hard = new Float32Array(weights.length);
  for (let from = 0; from < weights.length; from += numExperts * numExperts) {
    const costs = Array.from({ length: numExperts }, (_, i) =>
      Array.from(weights.subarray(from + i * numExperts, from + (i + 1) * numExperts), (weight) => -weight),
    );
    for (const [row, column] of munkres(costs)) hard[from + row * numExperts + column] = 1;
  }
  return hard;
}

const EPSILON = 1e-6;

/**
 * Pushes a soft permutation towards a hard one: Σ −P log(P + 1e-6), and the same of each row over its sum; means over the m matrices.
 * @param permutation [m, E, E]
 * @returns a scalar, unscaled; the published coefficient is 1e-4
 */
export function permutationEntropy(permutation: F32): F32 {
  const [m, E] = [permutation.axis(0), permutation.axis(1)];
  const entropy = (p: F32) => scale(sum(multiply(p, log(addScalar(p, EPSILON)))), -1 / m);
  const rows = divide(permutation, reshape(sum(permutation, 2), [m, E, 1]));
  return add(entropy(permutation), entropy(rows));
}
