import { defineKernel, grid1d } from "../device/kernel.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import code from "./adamw.wgsl";
import { reduce } from "./reduce.ts";

type F32 = Tensor<"f32">;

const kernel = defineKernel("adamw", code);

const CHUNK = 1024;
const NOTHING = {
  size: 0,
  first: 0,
  chunk: CHUNK,
  limit: 0,
  beta1: 0,
  beta2: 0,
  rate: 0,
  second: 0,
  epsilon: 0,
  decay: 0,
};

/** [2]: the norm over all gradients together, and the factor that brings it down to `limit` (1: within; 0: not finite). */
export function gradientControl(gradients: readonly F32[], limit = 0): F32 {
  const [{ device }] = gradients as [F32];
  const chunks = gradients.map(({ size }) => Math.ceil(size / CHUNK));
  const partial = empty(device, [chunks.reduce((a, b) => a + b, 0)], "f32");
  let first = 0;
  for (const [i, gradient] of gradients.entries()) {
    const count = chunks[i] ?? 0;
    device.dispatch({
      kernel,
      defines: { SQUARES: true },
      bindings: [gradient.binding(), partial.binding()],
      params: { ...NOTHING, size: gradient.size, first },
      grid: count === 0 ? [0] : grid1d(count, 64),
      bytes: 4 * gradient.size,
    });
    first += count;
  }
  const squares = reduce(partial, "sum");
  const control = empty(device, [2], "f32");
  device.dispatch({
    kernel,
    defines: { CONTROL: true },
    bindings: [squares.binding(), control.binding()],
    params: { ...NOTHING, limit },
    grid: [1],
  });
  partial.dispose();
  squares.dispose();
  return control;
}

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

/** Updates a parameter and its moments in place. */
export function adamwUpdate(
  parameter: F32,
  moments: { first: F32; second: F32 },
  gradient: F32,
  control: F32,
  step: AdamwStep,
): void {
  const { size } = parameter;
  parameter.device.dispatch({
    kernel,
    defines: { UPDATE: true },
    bindings: [
      gradient.binding(),
      control.binding(),
      parameter.bindingInPlace(),
      moments.first.bindingInPlace(),
      moments.second.bindingInPlace(),
    ],
    params: { ...NOTHING, size, ...step },
    grid: grid1d(size, 64),
    bytes: 28 * size,
  });
}
