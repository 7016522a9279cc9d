import { ValueError } from "../device/errors.ts";
import { type AttentionOptions, attentionForward, planAttention } from "../kernels/attention.ts";
import { attentionBackward } from "../kernels/attention-backward.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { differentiable, needsGradient } from "./tape.ts";

export type { AttentionOptions } from "../kernels/attention.ts";

type F32 = Tensor<"f32">;

/**
 * Scaled dot-product attention: out[b, t, a] = Σ_s softmax_s(scale · q[b, t, a] · k[b, s, h]) v[b, s, h], h = floor(a · Akv / A),
 * over the keys that query t sees. Memory grows with T + S, never with T · S. A query that sees no key gives zeros.
 * @param q [B, T, A, D]
 * @param k [B, S, Akv, D]; A is a multiple of Akv: neighbouring query heads share a key/value head
 * @param v [B, S, Akv, D]
 * @returns [B, T, A, D]
 * @throws {ShapeError} when the operands do not fit together or D is above 256
 * @throws {ValueError} for options out of range
 * @see Dao et al. 2022, arXiv:2205.14135
 */
export function attention(q: F32, k: F32, v: F32, options: AttentionOptions = {}): F32 {
  const plan = planAttention(q, k, v, options);
  const [wantsQ, wantsK, wantsV] = [needsGradient(q), needsGradient(k), needsGradient(v)];
  if (options.position && (wantsQ || wantsK || wantsV))
    throw new ValueError("attention: a position tensor is for decoding; with gradients give queryOffset and keyLength");
  const { out, logsumexp } = attentionForward(q, k, v, plan, options);
  const { keyMask } = options;
  const saved = [q, k, v, out, logsumexp, ...(keyMask ? [keyMask] : [])];
  // With P the weights and D = P ∘ (dOut · Vᵀ − rowsum(dOut ∘ Out)): dQ = scale · D · K, dK = scale · Dᵀ · Q, dV = Pᵀ · dOut.
  // P = exp(scores − logsumexp) is computed anew, tile by tile.
  differentiable("attention", [q, k, v], [out], saved, ([dout], [q, k, v, out, logsumexp, keyMask]) => {
    const trace = { q, k, v, out, logsumexp } as { q: F32; k: F32; v: F32; out: F32; logsumexp: F32 };
    const wishes = { queries: wantsQ, keysAndValues: wantsK || wantsV };
    const { dq, dk, dv } = attentionBackward(dout as F32, { ...trace, keyMask }, plan, wishes);
    return [dq, dk, dv];
  });
  logsumexp.dispose();
  return out;
}
