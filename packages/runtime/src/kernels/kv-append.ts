import { defineKernel, grid1d } from "../device/kernel.ts";
import type { Tensor } from "../tensor/tensor.ts";
import code from "./kv-append.wgsl";

const kernel = defineKernel("kv-append", code);

/** Writes x [B, T, ...] into cache [B, capacity, ...] from `position` on, in place. */
export function kvAppend(x: Tensor<"f32">, cache: Tensor<"f32">, position: number): void {
  const [, length = 1, ...rest] = x.shape;
  const width = rest.reduce((a, b) => a * b, 1);
  x.device.dispatch({
    kernel,
    bindings: [x.binding(), cache.bindingInPlace()],
    params: { size: x.size, length, width, capacity: cache.axis(1), position },
    grid: x.size === 0 ? [0] : grid1d(x.size, 64),
    bytes: 8 * x.size,
  });
}
