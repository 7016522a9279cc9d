import { ShapeError, ValueError } from "../device/errors.ts";
import { type CrossEntropyOptions, crossEntropyBackward, crossEntropyForward } from "../kernels/cross-entropy.ts";
import { zeros } from "../kernels/fill.ts";
import { gemm } from "../kernels/gemm.ts";
import { gemmTransposed } from "../kernels/gemm-transposed.ts";
import { map } from "../kernels/map.ts";
import { reduce } from "../kernels/reduce.ts";
import { expectShape, formatShape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { rowsOf } from "../tensor/views.ts";
import { concat } from "./layout.ts";
import { differentiable, needsGradient } from "./tape.ts";

type F32 = Tensor<"f32">;
type U32 = Tensor<"u32">;

export interface LinearCrossEntropyOptions extends Pick<CrossEntropyOptions, "ignoreIndex"> {
  /** Rows whose logits exist at a time. Default: as many as make 16 MiB of them */
  rowsAtOnce?: number;
}

/** Logits that exist at a time, by default. */
const ROOM = 1 << 22;

/**
 * crossEntropy(x Wᵀ, targets) without the logits [N, V] in memory: the vocabulary projection and its loss run in chunks of rows, and
 * again in the backward pass, which computes the logits anew. A third product more, for memory that no longer grows with N · V.
 * @param x [N, H]
 * @param weight [V, H]
 * @param targets [N] u32, class of each row
 * @returns a scalar: the mean over rows that are not ignored; 0 when all are
 * @throws {ShapeError} when the operands do not fit together
 * @throws {ValueError} when rowsAtOnce is no positive integer
 */
export function linearCrossEntropy(x: F32, weight: F32, targets: U32, options: LinearCrossEntropyOptions = {}): F32 {
  if (x.rank !== 2 || weight.rank !== 2 || x.axis(1) !== weight.axis(1) || weight.axis(0) === 0)
    throw new ShapeError(
      `linearCrossEntropy: x ${formatShape(x.shape)} and weight ${formatShape(weight.shape)} must be [N, H] and [V, H]`,
    );
  expectShape("linearCrossEntropy", "targets", targets.shape, [x.axis(0)]);
  const { rowsAtOnce = Math.max(1, Math.floor(ROOM / weight.axis(0))) } = options;
  if (!(Number.isInteger(rowsAtOnce) && rowsAtOnce >= 1))
    throw new ValueError(`linearCrossEntropy: rowsAtOnce is ${rowsAtOnce}, expected a positive integer`);
  const N = x.axis(0);
  const starts = Array.from({ length: Math.ceil(N / rowsAtOnce) }, (_, i) => i * rowsAtOnce);
  const logitsOf = (rows: F32, W: F32) => gemm(rows, W, { order: "out-major" });
  let [lossSum, weightSum] = [zeros(x.device, [], "f32"), zeros(x.device, [], "f32")];
  const parts = starts.map((start) => {
    const length = Math.min(rowsAtOnce, N - start);
    const [rows, classes] = [rowsOf(x, start, length), rowsOf(targets, start, length)];
    const logits = logitsOf(rows, weight);
    const { losses, weights, stats } = crossEntropyForward(logits, classes, options);
    const [loss, counted] = [reduce(losses, "sum"), reduce(weights, "sum")];
    const sums = [map("a + b", [lossSum, loss]), map("a + b", [weightSum, counted])] as const;
    for (const used of [rows, classes, logits, losses, loss, counted, lossSum, weightSum]) used.dispose();
    [lossSum, weightSum] = sums;
    return { start, length, weights, stats };
  });
  const inverse = map("select(T(1.0) / a, T(0.0), a == T(0.0))", [weightSum]);
  const mean = map("a * b", [lossSum, inverse]);
  const wants = [x, weight].map(needsGradient);
  const saved = [x, weight, targets, inverse, ...parts.flatMap(({ weights, stats }) => [weights, stats])];
  // d/dlogits = weight / Σ weight · (p − target distribution); dx = dlogits · W, dW = dlogitsᵀ · x
  differentiable("linearCrossEntropy", [x, weight], [mean], saved, ([dy], [x, weight, targets, inverse, ...kept]) => {
    const [X, W, classes] = [x as F32, weight as F32, targets as U32];
    const slopes: F32[] = [];
    let dW: F32 | undefined;
    for (const [i, { start, length }] of parts.entries()) {
      const [weights, stats] = [kept[2 * i] as F32, kept[2 * i + 1] as F32];
      const [rows, own] = [rowsOf(X, start, length), rowsOf(classes, start, length)];
      const logits = logitsOf(rows, W);
      const scales = map("a * b * c", [weights, dy as F32, inverse as F32]);
      const slope = crossEntropyBackward(logits, own, stats, scales, options);
      if (wants[0]) slopes.push(gemm(slope, W, { order: "in-major" }));
      if (wants[1]) dW = gemmTransposed(slope, rows, dW ? { into: dW } : {});
      for (const used of [rows, own, logits, scales, slope]) used.dispose();
    }
    if (slopes.length < 2) return [slopes[0], dW];
    const dx = concat(slopes, 0);
    for (const slope of slopes) slope.dispose();
    return [dx, dW];
  });
  for (const tensor of [lossSum, weightSum, inverse, ...parts.flatMap(({ weights, stats }) => [weights, stats])])
    tensor.dispose();
  return mean;
}
