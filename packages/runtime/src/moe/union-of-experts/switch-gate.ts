import type { Device } from "../../device/device.ts";
import { ConfigError, ShapeError } from "../../device/errors.ts";
import { map } from "../../kernels/map.ts";
import { putAlong } from "../../kernels/take-along.ts";
import { Linear } from "../../nn/linear.ts";
import { Module } from "../../nn/module.ts";
import { addScalar, divide, multiply, scale } from "../../ops/elementwise.ts";
import { sum } from "../../ops/reduction.ts";
import { softmaxTopK } from "../../ops/top-k.ts";
import { formatShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";

type F32 = Tensor<"f32">;

/** Added to the sum over the batch, as the reference does. */
const EPSILON = 1e-8;

export interface SwitchGateOptions {
  hiddenSize: number;
  numExperts: number;
  /** Experts that a token scores for; its other scores are 0. */
  topK: number;
  /** Times the batch size, rounded down, is what the scores of a position add up to. Default 1. */
  capacityFactor?: number;
}

export interface SwitchScores {
  /** [B, T, E] what tokens are selected by: the kept probabilities over their sum along the batch, times floor(capacityFactor · B). */
  scores: F32;
  /** [B, T, E] softmax probabilities of each token's K experts, 0 elsewhere. */
  kept: F32;
  /** [B, T, E] */
  probs: F32;
  /** [B, T, E] */
  logits: F32;
}

/**
 * How union-of-experts layers score tokens for experts: s = softmax(W x + b), the K largest kept,
 * r = s / (Σ over the batch of s + 1e-8) · floor(capacityFactor · B). The sum makes a token's score depend on its batch mates.
 * @see Yang et al. 2025, arXiv:2503.02495
 */
export class SwitchGate extends Module {
  readonly projection: Linear;
  readonly #topK: number;
  readonly #capacityFactor: number;

  /** @throws {ConfigError} unless 1 ≤ topK ≤ numExperts and capacityFactor ≥ 0 */
  constructor(device: Device, { hiddenSize, numExperts, topK, capacityFactor = 1 }: SwitchGateOptions) {
    super(device);
    if (!(Number.isInteger(topK) && topK >= 1 && topK <= numExperts && capacityFactor >= 0))
      throw new ConfigError(
        `SwitchGate: need 1 ≤ topK ≤ numExperts and capacityFactor ≥ 0, got topK=${topK}, numExperts=${numExperts}, capacityFactor=${capacityFactor}`,
      );
    this.projection = this.child(
      "w_gate",
      new Linear(device, { inFeatures: hiddenSize, outFeatures: numExperts, bias: true }),
    );
    this.#topK = topK;
    this.#capacityFactor = capacityFactor;
  }

  /** @param x [B, T, H] */
  forward(x: F32): SwitchScores {
    if (x.rank !== 3) throw new ShapeError(`SwitchGate: needs x [B, T, H], got ${formatShape(x.shape)}`);
    const logits = this.projection.forward(x);
    const { probs, values, indices } = softmaxTopK(logits, this.#topK);
    const chosen = putAlong(map("T(1.0)", [values]), indices, logits.axis(-1));
    const kept = multiply(probs, chosen);
    const share = divide(kept, addScalar(sum(kept, 0), EPSILON));
    return { scores: scale(share, Math.floor(this.#capacityFactor * x.axis(0))), kept, probs, logits };
  }
}
