import type { Device } from "../../device/device.ts";
import { ConfigError } from "../../device/errors.ts";
import { uniform } from "../../nn/initializers.ts";
import { linear } from "../../ops/matmul.ts";
import { softmax } from "../../ops/softmax.ts";
import { topK } from "../../ops/top-k.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type Routing, sparseRouting } from "../routing.ts";
import { type RouteContext, Router, type RouterOptions } from "./router.ts";

export interface ActiveExpertsOptions {
  schedule: "linear-increase" | "linear-decrease" | "cosine-increase" | "cosine-decrease" | "exponential-increase";
  /** t: steps that are done. */
  step: number;
  /** T */
  totalSteps: number;
  minimum: number;
  maximum: number;
}

/**
 * SMoE-Dropout's router: l = W x + b with random W and b that are never trained; the k largest l are chosen, weighed by the softmax
 * over these alone. k may change from step to step: set `numActive` before the forward pass, in every layer alike.
 * @see Chen et al. 2023, arXiv:2303.01610, section 3
 */
export class RandomFixedRouter extends Router {
  /** [E, H], frozen */
  readonly weight;
  /** [E], frozen */
  readonly bias;
  #numActive: number;

  /** @param options topK: the k to begin with */
  constructor(device: Device, options: RouterOptions) {
    super(device, options);
    const initializer = this.initializer ?? uniform(1 / Math.sqrt(this.hiddenSize));
    this.weight = this.parameter("weight", [this.numExperts, this.hiddenSize], initializer);
    this.bias = this.parameter("bias", [this.numExperts], initializer);
    this.weight.trainable = false;
    this.bias.trainable = false;
    this.#numActive = this.topK;
  }

  /** k: experts of a token; it may change between calls, in training by a schedule, at inference to trade quality for work. */
  get numActive(): number {
    return this.#numActive;
  }

  /** @throws {ConfigError} unless 1 ≤ k ≤ numExperts */
  set numActive(k: number) {
    if (!(Number.isInteger(k) && k >= 1 && k <= this.numExperts))
      throw new ConfigError(`RandomFixedRouter: numActive is ${k}, expected 1 to ${this.numExperts}`);
    this.#numActive = k;
  }

  override route(x: Tensor<"f32">, _state?: undefined, { mask }: RouteContext = {}): Routing<undefined> {
    const logits = linear(x, this.weight, this.bias); // [N, E]
    const { values, indices } = topK(logits, this.#numActive); // [N, K]
    return sparseRouting({ indices, weights: softmax(values), probs: softmax(logits), logits, mask });
  }
}

/**
 * k of a step, rounded half to even and kept within minimum … maximum: with d = maximum − minimum and s = t / T, linear minimum + d s,
 * cosine maximum − d cos(π s / 2), exponential maximum − d 0.99^⌊t / ⌊T / 300⌋⌋, and the first two downwards.
 * @throws {ConfigError} for a step below 0, no steps, or a minimum above the maximum
 * @see Chen et al. 2023, arXiv:2303.01610; exact forms from the reference implementation
 */
export function numActiveExperts({ schedule, step, totalSteps, minimum, maximum }: ActiveExpertsOptions): number {
  if (!(step >= 0 && totalSteps >= 1 && minimum >= 1 && minimum <= maximum))
    throw new ConfigError(
      `numActiveExperts: step ${step} of ${totalSteps} with ${minimum} to ${maximum} experts; expected 0 or more, 1 or more, and 1 ≤ minimum ≤ maximum`,
    );
  const range = maximum - minimum;
  const share = step / totalSteps;
  const fade = 0.99 ** Math.floor(step / Math.max(1, Math.floor(totalSteps / 300)));
  const k = {
    "linear-increase": roundHalfToEven(range * share) + minimum,
    "linear-decrease": roundHalfToEven(-range * share) + maximum,
    "cosine-increase": roundHalfToEven(-range * Math.cos((Math.PI / 2) * share)) + maximum,
    "cosine-decrease": roundHalfToEven(range * Math.cos((Math.PI / 2) * share)) + minimum,
    "exponential-increase": roundHalfToEven(-range * fade) + maximum,
  }[schedule];
  return Math.max(minimum, Math.min(maximum, k));
}

function roundHalfToEven(x: number): number {
  const below = Math.floor(x);
  if (x - below !== 0.5) return Math.round(x);
  return below % 2 === 0 ? below : below + 1;
}
