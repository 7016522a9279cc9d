import { defineKernel, grid1d } from "../device/kernel.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import code from "./unfold.wgsl";

const kernel = defineKernel("unfold", code);

/** The next `width` values at each of the first `positions`, 0 past the end: [B, T] to [B, positions, width]. */
export function unfold(x: Tensor<"f32">, width: number, positions: number): Tensor<"f32"> {
  const [batch, length] = [x.axis(0), x.axis(1)];
  const out = empty(x.device, [batch, positions, width], "f32");
  x.device.dispatch({
    kernel,
    bindings: [x.binding(), out.binding()],
    params: { size: out.size, length, positions, width },
    grid: out.size === 0 ? [0] : grid1d(out.size, 64),
    bytes: 4 * (x.size + out.size),
  });
  return out;
}
