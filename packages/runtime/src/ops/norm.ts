import { type NormOptions, normBackward, normForward, normWeightBackward } from "../kernels/norm.ts";
import { expectShape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { differentiable, needsGradient } from "./tape.ts";

type F32 = Tensor<"f32">;

/**
 * y = x / sqrt(mean(x²) + ε) · w over the last axis.
 * @param x [..., D]
 * @param weight [D]
 * @throws {ShapeError} when the weight is not [D]
 * @see Zhang and Sennrich 2019, arXiv:1910.07467
 */
export function rmsNorm(x: F32, weight: F32, epsilon = 1e-6): F32 {
  return norm("rmsNorm", x, { centred: false, epsilon, weight });
}

/**
 * y = (x − mean(x)) / sqrt(variance(x) + ε) · w + b over the last axis, with the population variance.
 * @param x [..., D]
 * @param weight [D] or none
 * @param bias [D] or none
 * @throws {ShapeError} when weight or bias is not [D]
 * @see Ba et al. 2016, arXiv:1607.06450
 */
export function layerNorm(x: F32, weight?: F32, bias?: F32, epsilon = 1e-5): F32 {
  return norm("layerNorm", x, { centred: true, epsilon, weight, bias });
}

function norm(op: string, x: F32, options: NormOptions): F32 {
  const { weight, bias } = options;
  for (const [name, tensor] of Object.entries({ weight, bias }))
    if (tensor) expectShape(op, name, tensor.shape, [x.axis(-1)]);
  const { y, stats } = normForward(x, options);
  const wants = [x, weight, bias].map(needsGradient);
  differentiable(op, [x, weight, bias], [y], [x, stats, weight ?? x], ([dy], [x, stats, w]) => {
    const [X, dY, S] = [x as F32, dy as F32, stats as F32];
    const own = { ...options, weight: weight && (w as F32) };
    const sums = wants[1] || wants[2] ? normWeightBackward(X, dY, S, own) : undefined;
    return [
      wants[0] ? normBackward(X, dY, S, own) : undefined,
      wants[1] ? sums?.weight : undefined,
      wants[2] ? sums?.bias : undefined,
    ];
  });
  stats.dispose();
  return y;
}
