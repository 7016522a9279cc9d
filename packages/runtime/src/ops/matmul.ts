import { ShapeError } from "../device/errors.ts";
import { gemm, gemmGated } from "../kernels/gemm.ts";
import { gemmTransposed } from "../kernels/gemm-transposed.ts";
import { reduce } from "../kernels/reduce.ts";
import { formatShape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { viewOf } from "../tensor/views.ts";
import { swiglu } from "./swiglu.ts";
import { differentiable, needsGradient } from "./tape.ts";

type F32 = Tensor<"f32">;

/**
 * C = A · B over the last two axes.
 * @param a [..., M, K]
 * @param b [K, N], or [..., K, N] with the leading axes of `a`
 * @returns [..., M, N]
 * @throws {ShapeError} when inner lengths or leading axes differ
 */
export function matmul(a: F32, b: F32): F32 {
  if (a.rank < 2 || b.rank < 2)
    throw new ShapeError(`matmul: needs rank 2 or more, got ${formatShape(a.shape)} and ${formatShape(b.shape)}`);
  const c = gemm(a, b, { order: "in-major" });
  const [wantsA, wantsB] = [needsGradient(a), needsGradient(b)];
  // dA = dC · Bᵀ, and B as [K, N] is the out-major form of Bᵀ; dB = Aᵀ · dC
  differentiable("matmul", [a, b], [c], [a, b], ([dc], [a, b]) => {
    const [A, B, dC] = [a as F32, b as F32, dc as F32];
    return [
      wantsA ? gemm(dC, B, { order: "out-major" }) : undefined,
      wantsB ? (B.rank === 2 ? gemmTransposed(flat(A), flat(dC)) : gemmTransposed(A, dC)) : undefined,
    ];
  });
  return c;
}

/**
 * y = x · Wᵀ + b, a linear layer in the layout of checkpoints.
 * @param x [..., in]
 * @param weight [out, in]
 * @param bias [out]
 * @returns [..., out]
 */
export function linear(x: F32, weight: F32, bias?: F32): F32 {
  if (weight.rank !== 2 || x.axis(-1) !== weight.axis(1))
    throw new ShapeError(
      `linear: x ${formatShape(x.shape)} and weight ${formatShape(weight.shape)} (out, in): the inner lengths differ`,
    );
  if (bias && bias.size !== weight.axis(0))
    throw new ShapeError(`linear: bias ${formatShape(bias.shape)} for weight ${formatShape(weight.shape)}`);
  const y = gemm(x, weight, { order: "out-major", bias });
  const wants = [x, weight, bias].map(needsGradient);
  // dx = dy · W; dW = dyᵀ · x; db = Σ rows of dy
  differentiable("linear", [x, weight, bias], [y], [x, weight], ([dy], [x, weight]) => {
    const [X, W, dY] = [x as F32, weight as F32, dy as F32];
    return [
      wants[0] ? gemm(dY, W, { order: "in-major" }) : undefined,
      wants[1] ? gemmTransposed(flat(dY), flat(X)) : undefined,
      wants[2] ? reduce(flat(dY), "sum", 0) : undefined,
    ];
  });
  return y;
}

/**
 * silu(x · W_gateᵀ) · (x · W_upᵀ), the first half of a SwiGLU block. Where no gradient is wanted, one kernel does both products and
 * keeps neither.
 * @param x [..., in]
 * @param gate [out, in]
 * @param up as gate
 * @returns [..., out]
 */
export function linearSwiglu(x: F32, gate: F32, up: F32): F32 {
  if ([x, gate, up].some(needsGradient)) return swiglu(linear(x, gate), linear(x, up));
  return gemmGated(x, gate, up, { order: "out-major" });
}

/** [..., n] as [rows, n]. */
function flat(x: F32): F32 {
  return viewOf(x, [x.size / (x.axis(-1) || 1), x.axis(-1)]);
}
