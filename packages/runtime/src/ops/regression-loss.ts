import { map } from "../kernels/map.ts";
import { reduce } from "../kernels/reduce.ts";
import { broadcastShapes, expectShape, sizeOf } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { differentiable } from "./tape.ts";

type F32 = Tensor<"f32">;

export interface RegressionLossOptions {
  /** Weight of each element; broadcasts to the prediction's shape. With it the loss is Σ loss · mask / Σ mask, 0 when Σ mask is 0. */
  mask?: F32 | undefined;
}

/**
 * Mean of ½d² for |d| < δ and δ(|d| − δ/2) beyond, d = prediction − target. With δ = 2 that is 2(|d| − 1).
 * @returns a scalar; gradients flow to the prediction
 * @see Huber 1964, doi 10.1214/aoms/1177703732
 */
export function huberLoss(
  prediction: F32,
  target: F32,
  { delta = 1, mask }: RegressionLossOptions & { delta?: number } = {},
): F32 {
  return meanLoss(
    "huberLoss",
    "select(s0 * (abs(a - b) - 0.5 * s0), 0.5 * (a - b) * (a - b), abs(a - b) < s0)",
    "clamp(a - b, -s0, s0)",
    prediction,
    target,
    delta,
    mask,
  );
}

/** Mean of (prediction − target)². @returns a scalar; gradients flow to the prediction */
export function mseLoss(prediction: F32, target: F32, { mask }: RegressionLossOptions = {}): F32 {
  return meanLoss("mseLoss", "(a - b) * (a - b)", "2.0 * (a - b)", prediction, target, 0, mask);
}

function meanLoss(
  op: string,
  value: string,
  slope: string,
  prediction: F32,
  target: F32,
  parameter: number,
  mask: F32 | undefined,
): F32 {
  expectShape(op, "target", target.shape, prediction.shape);
  if (mask)
    expectShape(op, "the mask, broadcast,", broadcastShapes(op, mask.shape, prediction.shape), prediction.shape);
  // A masked element counts as nothing even where it is NaN (a missing value).
  const masked = (expression: string) => `select(c * (${expression}), T(0.0), c == T(0.0))`;
  const each = map(mask ? masked(value) : value, mask ? [prediction, target, mask] : [prediction, target], {
    scalars: [parameter],
  });
  const total = reduce(each, "sum");
  // Σ mask over the broadcast elements; an empty mask divides by 1, since its sum is 0 anyway.
  const maskSum = mask && reduce(mask, "sum");
  const factor = maskSum
    ? map("select(s0 / a, T(0.0), a == T(0.0))", [maskSum], {
        scalars: [(mask?.size ?? 0) / sizeOf(prediction.shape)],
      })
    : undefined;
  const loss = factor
    ? map("a * b", [total, factor])
    : map("a * s0", [total], { scalars: [1 / Math.max(1, prediction.size)] });
  const saved = [prediction, target, ...(mask && factor ? [mask, factor] : [])];
  differentiable(op, [prediction], [loss], saved, ([dy], [prediction, target, mask, factor]) => {
    const [P, T, dL] = [prediction as F32, target as F32, dy as F32];
    if (!mask || !factor)
      return [map(`c * s1 * (${slope})`, [P, T, dL], { scalars: [parameter, 1 / Math.max(1, P.size)] })];
    const perElement = map("a * b", [dL, factor as F32]);
    return [map(`d * ${masked(slope)}`, [P, T, mask as F32, perElement], { scalars: [parameter] })];
  });
  for (const tensor of [each, total, maskSum, factor]) tensor?.dispose();
  return loss;
}
