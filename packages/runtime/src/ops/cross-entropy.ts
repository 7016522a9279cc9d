import { ShapeError, ValueError } from "../device/errors.ts";
import { type CrossEntropyOptions, crossEntropyBackward, crossEntropyForward } from "../kernels/cross-entropy.ts";
import { map } from "../kernels/map.ts";
import { reduce } from "../kernels/reduce.ts";
import { expectShape, formatShape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { differentiable } from "./tape.ts";

export type { CrossEntropyOptions };

type F32 = Tensor<"f32">;

/**
 * Loss of each row: mask · (−(1 − s) log p[target] − s / V Σ log p), p = softmax(logits); 0 where the target is `ignoreIndex`.
 * A target that is no class and not ignored, and not masked by 0, makes its row's loss and gradient NaN.
 * @param logits [..., V] f32
 * @param targets [...] u32, class of each row
 * @returns [...] f32, natural units
 * @throws {ShapeError} when targets or mask do not have the leading axes of logits, or V is 0
 * @throws {ValueError} when labelSmoothing is outside 0 ≤ s < 1
 * @see Szegedy et al. 2015, arXiv:1512.00567, section 7, for label smoothing
 */
export function crossEntropyRows(logits: F32, targets: Tensor<"u32">, options: CrossEntropyOptions = {}): F32 {
  check("crossEntropyRows", logits, targets, options);
  const { losses, weights, stats } = crossEntropyForward(logits, targets, options);
  // d/dx = weight (p − target distribution)
  differentiable(
    "crossEntropyRows",
    [logits],
    [losses],
    [logits, targets, stats, weights],
    ([dy], [x, targets, stats, weights]) => {
      const scales = map("a * b", [dy as F32, weights as F32]);
      return [crossEntropyBackward(x as F32, targets as Tensor<"u32">, stats as F32, scales, options)];
    },
  );
  weights.dispose();
  stats.dispose();
  return losses;
}

/**
 * Mean of `crossEntropyRows` over the rows that count: Σ loss / Σ mask, without the ignored rows; 0 when none counts.
 * @param logits [..., V] f32
 * @param targets [...] u32
 * @returns a scalar
 * @throws as crossEntropyRows does
 */
export function crossEntropy(logits: F32, targets: Tensor<"u32">, options: CrossEntropyOptions = {}): F32 {
  check("crossEntropy", logits, targets, options);
  const { losses, weights, stats } = crossEntropyForward(logits, targets, options);
  const [lossSum, weightSum] = [reduce(losses, "sum"), reduce(weights, "sum")];
  const inverse = map("select(T(1.0) / a, T(0.0), a == T(0.0))", [weightSum]);
  const loss = map("a * b", [lossSum, inverse]);
  // d/dx = weight / Σ weight · (p − target distribution)
  differentiable(
    "crossEntropy",
    [logits],
    [loss],
    [logits, targets, stats, weights, inverse],
    ([dy], [x, targets, stats, weights, inverse]) => {
      const scales = map("a * b * c", [weights as F32, dy as F32, inverse as F32]);
      return [crossEntropyBackward(x as F32, targets as Tensor<"u32">, stats as F32, scales, options)];
    },
  );
  for (const tensor of [losses, weights, stats, lossSum, weightSum, inverse]) tensor.dispose();
  return loss;
}

function check(op: string, logits: F32, targets: Tensor<"u32">, { mask, labelSmoothing = 0 }: CrossEntropyOptions) {
  if (logits.rank === 0 || logits.axis(-1) === 0)
    throw new ShapeError(`${op}: logits ${formatShape(logits.shape)} must be [..., V] with at least one class`);
  expectShape(op, "targets", targets.shape, logits.shape.slice(0, -1));
  if (mask) expectShape(op, "mask", mask.shape, targets.shape);
  if (!(labelSmoothing >= 0 && labelSmoothing < 1))
    throw new ValueError(`${op}: labelSmoothing is ${labelSmoothing}, expected 0 ≤ labelSmoothing < 1`);
}
