import { defineKernel, grid1d } from "../device/kernel.ts";
import { expectShape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import code from "./moving-average.wgsl";

const kernel = defineKernel("moving-average", code);

/** average = decay · average + (1 − decay) · x, in place. @throws {ShapeError} when the shapes differ */
export function movingAverage(average: Tensor<"f32">, x: Tensor<"f32">, decay: number): void {
  expectShape("movingAverage", "x", x.shape, average.shape);
  const { size, device } = average;
  const wide = size % 4 === 0;
  const threads = wide ? size / 4 : size;
  device.dispatch({
    kernel,
    defines: { T: wide ? "vec4f" : "f32" },
    bindings: [x.binding(), average.bindingInPlace()],
    params: { size: threads, rate: 1 - decay },
    grid: size === 0 ? [0] : grid1d(threads, 64),
    bytes: 12 * size,
  });
}
