import { ShapeError } from "../../device/errors.ts";
import { add, addScalar, log, scale } from "../../ops/elementwise.ts";
import { reshape } from "../../ops/layout.ts";
import { max, mean } from "../../ops/reduction.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type AuxLossOptions, meanOverTokens } from "../losses.ts";
import type { ProductRouting } from "./monet-router.ts";

type F32 = Tensor<"f32">;

/** Keeps the logarithm of a key that no token chose finite. */
const EPSILON = 1e-8;

/**
 * Pushes the gates of both axes towards an even use of their keys, over the tokens:
 * −1 / (2 · heads · M) Σ_h Σ_i (log mean_t g1[h, i] + log mean_t g2[h, i]), the mean over layers; ln M at even use, its least value.
 * @param routings one for each router
 * @see Park et al. 2024, arXiv:2412.04139
 */
export function uniformityLoss(routings: readonly ProductRouting[], { mask }: AuxLossOptions = {}): F32 {
  return meanOfAxes("uniformityLoss", routings, (gates) => {
    const [N, size] = [gates.axis(0), gates.axis(1) * gates.axis(2)];
    const use = meanOverTokens(reshape(gates, [N, size]), mask); // [heads · M]
    return scale(mean(log(addScalar(use, EPSILON))), -1);
  });
}

/**
 * Pushes each head towards one key: 1 / (2 · heads) Σ_h ((1 − max_i g1[h, i]) + (1 − max_j g2[h, j])), the mean over tokens and
 * layers; 0 for sure choices.
 * @param routings one for each router
 * @see Park et al. 2024, arXiv:2412.04139
 */
export function ambiguityLoss(routings: readonly ProductRouting[], { mask }: AuxLossOptions = {}): F32 {
  return meanOfAxes("ambiguityLoss", routings, (gates) =>
    addScalar(scale(mean(meanOverTokens(max(gates, -1), mask)), -1), 1),
  );
}

function meanOfAxes(where: string, routings: readonly ProductRouting[], ofAxis: (gates: F32) => F32): F32 {
  if (routings.length === 0) throw new ShapeError(`${where}: needs the routing of at least one layer`);
  const parts = routings.flatMap(({ g1, g2 }) => [ofAxis(g1), ofAxis(g2)]);
  return scale(parts.reduce(add), 1 / parts.length);
}
