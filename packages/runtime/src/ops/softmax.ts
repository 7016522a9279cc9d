import { map } from "../kernels/map.ts";
import * as kernels from "../kernels/softmax.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { viewOf } from "../tensor/views.ts";
import { differentiable } from "./tape.ts";

type F32 = Tensor<"f32">;

/** y = exp(x) / Σ exp(x) over the last axis, shifted by the row's maximum so that nothing overflows. */
export function softmax(x: F32): F32 {
  const y = kernels.softmax(x);
  differentiable("softmax", [x], [y], [y], ([dy], [y]) => [kernels.softmaxBackward(y as F32, dy as F32)]);
  return y;
}

/** log softmax(x) over the last axis. */
export function logSoftmax(x: F32): F32 {
  const y = kernels.logSoftmax(x);
  differentiable("logSoftmax", [x], [y], [y], ([dy], [y]) => [kernels.logSoftmaxBackward(y as F32, dy as F32)]);
  return y;
}

/** log Σ exp(x) over the last axis: [..., N] to [...]. */
export function logSumExp(x: F32): F32 {
  const y = kernels.logSumExp(x);
  // d/dx = softmax(x) = exp(x − y)
  differentiable("logSumExp", [x], [y], [x, y], ([dy], [x, y]) => {
    const wide = [...(y as F32).shape, 1];
    return [map("c * exp(a - b)", [x as F32, viewOf(y as F32, wide), viewOf(dy as F32, wide)])];
  });
  return y;
}
