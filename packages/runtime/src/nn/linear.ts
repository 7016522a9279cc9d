import type { Device } from "../device/device.ts";
import { linear } from "../ops/matmul.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type Initializer, zeros } from "./initializers.ts";
import { Module, type Parameter } from "./module.ts";

export interface LinearOptions {
  inFeatures: number;
  outFeatures: number;
  bias?: boolean;
  initializer?: Initializer;
}

/** y = x Wᵀ + b with W [out, in]. */
export class Linear extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter | undefined;

  constructor(device: Device, { inFeatures, outFeatures, bias = false, initializer }: LinearOptions) {
    super(device);
    this.weight = this.matrix("weight", [outFeatures, inFeatures], initializer);
    this.bias = bias ? this.parameter("bias", [outFeatures], zeros) : undefined;
  }

  /** @param x [..., in] @returns [..., out] */
  forward(x: Tensor<"f32">): Tensor<"f32"> {
    return linear(x, this.weight, this.bias);
  }
}
