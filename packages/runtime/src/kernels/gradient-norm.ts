import { ValueError } from "../device/errors.ts";
import { defineKernel, grid1d } from "../device/kernel.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import code from "./gradient-norm.wgsl";
import { reduce } from "./reduce.ts";

type F32 = Tensor<"f32">;

const kernel = defineKernel("gradient-norm", code);

/** Elements that one thread adds up. */
const CHUNK = 1024;

/**
 * The norm over all gradients together, ‖g‖ = sqrt(Σ g²), without a read-back.
 * @param limit longest norm that is left as it is; 0: every norm
 * @returns [2]: ‖g‖, and the factor that brings it down to `limit` (1: within; 0: ‖g‖ is not finite)
 * @throws {ValueError} without any gradient
 */
export function gradientControl(gradients: readonly F32[], limit = 0): F32 {
  const [first] = gradients;
  if (!first) throw new ValueError("there is no gradient: the loss depends on no trainable parameter");
  const { device } = first;
  const chunks = gradients.map(({ size }) => Math.ceil(size / CHUNK));
  const partial = empty(device, [chunks.reduce((a, b) => a + b, 0)], "f32");
  let before = 0;
  for (const [i, gradient] of gradients.entries()) {
    const { size } = gradient;
    const count = chunks[i] ?? 0;
    const wide = size % 4 === 0;
    const width = wide ? 4 : 1;
    device.dispatch({
      kernel,
      defines: { SQUARES: true, WIDE: wide, T: wide ? "vec4f" : "f32" },
      bindings: [gradient.binding(), partial.binding()],
      params: { size: size / width, first: before, chunk: CHUNK / width, limit },
      grid: count === 0 ? [0] : grid1d(count, 64),
      flops: 2 * size,
      bytes: 4 * size,
    });
    before += count;
  }
  const squares = reduce(partial, "sum");
  const control = empty(device, [2], "f32");
  device.dispatch({
    kernel,
    defines: { SQUARES: false },
    bindings: [squares.binding(), control.binding()],
    params: { size: 0, first: 0, chunk: 0, limit },
    grid: [1],
  });
  partial.dispose();
  squares.dispose();
  return control;
}
