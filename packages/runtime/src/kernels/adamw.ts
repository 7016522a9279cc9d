import { defineKernel, grid1d } from "../device/kernel.ts";
import type { Tensor } from "../tensor/tensor.ts";
import code from "./adamw.wgsl";

type F32 = Tensor<"f32">;

const kernel = defineKernel("adamw", code);

export interface AdamwStep {
  beta1: number;
  beta2: number;
  /** learning rate / (1 − β1^t) */
  rate: number;
  /** 1 / (1 − β2^t) */
  second: number;
  epsilon: number;
  /** learning rate · weight decay */
  decay: number;
}

/** Updates a parameter and its moments in place. @param control [2], as `gradientControl` gives it */
export function adamwUpdate(
  parameter: F32,
  moments: { first: F32; second: F32 },
  gradient: F32,
  control: F32,
  step: AdamwStep,
): void {
  const { size, device } = parameter;
  const wide = size % 4 === 0;
  const threads = wide ? size / 4 : size;
  device.dispatch({
    kernel,
    defines: { T: wide ? "vec4f" : "f32" },
    bindings: [
      gradient.binding(),
      control.binding(),
      parameter.bindingInPlace(),
      moments.first.bindingInPlace(),
      moments.second.bindingInPlace(),
    ],
    params: { size: threads, ...step },
    grid: size === 0 ? [0] : grid1d(threads, 64),
    bytes: 28 * size,
  });
}
