import { ShapeError } from "../device/errors.ts";
import { type AttentionOptions, attentionBackward, attentionForward } from "../kernels/attention.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { pad, slice } from "./layout.ts";
import { differentiable, needsGradient } from "./tape.ts";

export type { AttentionOptions } from "../kernels/attention.ts";

type F32 = Tensor<"f32">;

/**
 * softmax(scale · q kᵀ + mask) v, head by head, by online softmax: no T x S matrix is stored. Query heads share key/value heads in
 * neighbouring groups when there are more of them. A query that may see no key gives 0 and has no gradient.
 * @param q [B, T, A, D]
 * @param k [B, S, A', D], A a multiple of A'
 * @param v [B, S, A', D]
 * @returns [B, T, A, D]
 * @see Vaswani et al. 2017, arXiv:1706.03762, equation 1; Dao et al. 2022, arXiv:2205.14135
 */
export function attention(q: F32, k: F32, v: F32, options: AttentionOptions = {}): F32 {
  const dim = q.axis(-1);
  if (dim % 4 !== 0) {
    // Kernels read four elements at once: zeros behind the head change no product.
    const widened = [q, k, v].map((tensor) => pad(tensor, 3, 0, 4 - (dim % 4))) as [F32, F32, F32];
    return slice(attention(...widened, { scale: 1 / Math.sqrt(dim), ...options }), 3, 0, dim);
  }
  const { out, lse } = attentionForward(q, k, v, options);
  if ([q, k, v].some(needsGradient) && options.keyLength !== undefined && options.keyLength !== k.axis(1))
    throw new ShapeError("attention: gradients through a cache with room to spare are not supported; slice the keys first");
  const { keyMask, ...rest } = options;
  differentiable("attention", [q, k, v], [out], [q, k, v, out, lse, ...(keyMask ? [keyMask] : [])], ([dOut], saved) => {
    const [q, k, v, out, lse, keyMask] = saved as [F32, F32, F32, F32, F32, F32 | undefined];
    const { dq, dk, dv } = attentionBackward(q, k, v, out, lse, dOut as F32, { ...rest, keyMask });
    return [dq, dk, dv];
  });
  lse.dispose();
  return out;
}
