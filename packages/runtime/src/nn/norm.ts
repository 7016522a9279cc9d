import type { Device } from "../device/device.ts";
import { layerNorm, rmsNorm } from "../ops/norm.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { ones, zeros } from "./initializers.ts";
import { Module, type Parameter } from "./module.ts";

/** x / sqrt(mean(x²) + ε) · w over the last axis (Zhang and Sennrich 2019, arXiv:1910.07467). */
export class RmsNorm extends Module {
  readonly weight: Parameter;
  readonly epsilon: number;

  constructor(device: Device, size: number, epsilon = 1e-6) {
    super(device);
    this.weight = this.parameter("weight", [size], ones);
    this.epsilon = epsilon;
  }

  forward(x: Tensor<"f32">): Tensor<"f32"> {
    return rmsNorm(x, this.weight, this.epsilon);
  }
}

/** (x − mean) / sqrt(variance + ε) · w + b over the last axis (Ba et al. 2016, arXiv:1607.06450). */
export class LayerNorm extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter;
  readonly epsilon: number;

  constructor(device: Device, size: number, epsilon = 1e-5) {
    super(device);
    this.weight = this.parameter("weight", [size], ones);
    this.bias = this.parameter("bias", [size], zeros);
    this.epsilon = epsilon;
  }

  forward(x: Tensor<"f32">): Tensor<"f32"> {
    return layerNorm(x, this.weight, this.bias, this.epsilon);
  }
}
