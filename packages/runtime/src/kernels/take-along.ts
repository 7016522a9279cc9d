import { defineKernel, grid1d } from "../device/kernel.ts";
import { sizeOf } from "../tensor/shape.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import code from "./take-along.wgsl";

const kernel = defineKernel("take-along", code);

function run(x: Tensor<"f32">, indices: Tensor<"u32">, width: number, scatter: boolean): Tensor<"f32"> {
  const count = indices.axis(-1);
  const leading = indices.shape.slice(0, -1);
  const rows = sizeOf(leading);
  const out = empty(x.device, [...leading, scatter ? width : count], "f32");
  x.device.dispatch({
    kernel,
    defines: { SCATTER: scatter },
    bindings: [x.binding(), indices.binding(), out.binding()],
    params: { rows, width, count },
    grid: out.size === 0 ? [0] : grid1d(out.size, 64),
    bytes: 4 * (x.size + indices.size + out.size),
  });
  return out;
}

/** Picks entries of the last axis: [..., N] and [..., K] to [..., K]. */
export function takeAlong(x: Tensor<"f32">, indices: Tensor<"u32">): Tensor<"f32"> {
  return run(x, indices, x.axis(-1), false);
}

/** Puts entries back in their places among `width`, zeros elsewhere: [..., K] and [..., K] to [..., width]. */
export function putAlong(x: Tensor<"f32">, indices: Tensor<"u32">, width: number): Tensor<"f32"> {
  return run(x, indices, width, true);
}
