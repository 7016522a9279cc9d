import type { Device } from "../device/device.ts";
import { linearSwiglu } from "../ops/matmul.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Initializer } from "./initializers.ts";
import { Linear } from "./linear.ts";
import { Module } from "./module.ts";

export interface FeedForwardOptions {
  hiddenSize: number;
  intermediateSize: number;
  initializer?: Initializer;
}

/** The dense SwiGLU block: W_down (silu(W_gate x) · W_up x) (Shazeer 2020, arXiv:2002.05202). Also one shared expert. */
export class SwigluFeedForward extends Module {
  readonly gate: Linear;
  readonly up: Linear;
  readonly down: Linear;

  constructor(device: Device, { hiddenSize, intermediateSize, initializer }: FeedForwardOptions) {
    super(device);
    const init = initializer ? { initializer } : {};
    this.gate = this.child(
      "gate_proj",
      new Linear(device, { inFeatures: hiddenSize, outFeatures: intermediateSize, ...init }),
    );
    this.up = this.child(
      "up_proj",
      new Linear(device, { inFeatures: hiddenSize, outFeatures: intermediateSize, ...init }),
    );
    this.down = this.child(
      "down_proj",
      new Linear(device, { inFeatures: intermediateSize, outFeatures: hiddenSize, ...init }),
    );
  }

  /** @param x [..., H] @returns [..., H] */
  forward(x: Tensor<"f32">): Tensor<"f32"> {
    return this.down.forward(linearSwiglu(x, this.gate.weight, this.up.weight));
  }
}
