import type { Device } from "../../device/device.ts";
import { ConfigError } from "../../device/errors.ts";
import type { Initializer } from "../../nn/initializers.ts";
import { Module } from "../../nn/module.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Routing } from "../routing.ts";

export interface ExpertsOptions {
  numExperts: number;
  hiddenSize: number;
  /** Hidden units of one expert (F). */
  intermediateSize: number;
  initializer?: Initializer;
}

/** A bank of experts of one kind: stacked weights, used by the grouped product. */
export abstract class Experts extends Module {
  readonly numExperts: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;

  constructor(device: Device, { numExperts, hiddenSize, intermediateSize }: ExpertsOptions) {
    super(device);
    if (![numExperts, hiddenSize, intermediateSize].every((n) => Number.isInteger(n) && n >= 1))
      throw new ConfigError(
        `experts: sizes must be positive integers, got numExperts=${numExperts}, hiddenSize=${hiddenSize}, intermediateSize=${intermediateSize}`,
      );
    this.numExperts = numExperts;
    this.hiddenSize = hiddenSize;
    this.intermediateSize = intermediateSize;
  }

  /** Σ over each token's experts of weight · expert(x). @param x [N, H] @returns [N, H]; dropped assignments add nothing */
  abstract forward(x: Tensor<"f32">, routing: Routing): Tensor<"f32">;
}
