import { defineKernel, grid1d } from "../device/kernel.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import code from "./top-k.wgsl";

const kernel = defineKernel("top-k", code);

/** [..., N] to the k largest of the last axis and where they are. */
export function topK(x: Tensor<"f32">, k: number): { values: Tensor<"f32">; indices: Tensor<"u32"> } {
  const width = x.axis(-1);
  const rows = x.size / (width || 1);
  const shape = [...x.shape.slice(0, -1), k];
  const values = empty(x.device, shape, "f32");
  const indices = empty(x.device, shape, "u32");
  x.device.dispatch({
    kernel,
    bindings: [x.binding(), values.binding(), indices.binding()],
    params: { rows, width, k },
    grid: x.size === 0 ? [0] : grid1d(x.size, 64),
    bytes: 4 * (x.size + 2 * values.size),
  });
  return { values, indices };
}
