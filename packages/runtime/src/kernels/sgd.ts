import { defineKernel, grid1d } from "../device/kernel.ts";
import type { Tensor } from "../tensor/tensor.ts";
import code from "./sgd.wgsl";

type F32 = Tensor<"f32">;

const kernel = defineKernel("sgd", code);

export interface SgdStep {
  rate: number;
  momentum: number;
  nesterov: boolean;
  /** rate · weight decay */
  decay: number;
}

/**
 * Updates a parameter and its velocity in place.
 * @param velocity undefined: without momentum
 * @param control [2], as `gradientControl` gives it
 */
export function sgdUpdate(
  parameter: F32,
  velocity: F32 | undefined,
  gradient: F32,
  control: F32,
  { nesterov, ...step }: SgdStep,
): void {
  const { size, device } = parameter;
  const wide = size % 4 === 0;
  const threads = wide ? size / 4 : size;
  device.dispatch({
    kernel,
    defines: { T: wide ? "vec4f" : "f32", MOMENTUM: velocity !== undefined, NESTEROV: nesterov },
    bindings: [
      gradient.binding(),
      control.binding(),
      parameter.bindingInPlace(),
      ...(velocity ? [velocity.bindingInPlace()] : []),
    ],
    params: { size: threads, ...step },
    grid: size === 0 ? [0] : grid1d(threads, 64),
    bytes: (velocity ? 20 : 12) * size,
  });
}
