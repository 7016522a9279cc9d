import { ConfigError, ShapeError } from "../device/errors.ts";
import { zeros } from "../kernels/fill.ts";
import { map } from "../kernels/map.ts";
import { add, divide, multiply, normalCdf, scale, square, subtract, where } from "../ops/elementwise.ts";
import { reshape, slice } from "../ops/layout.ts";
import { mean, sum } from "../ops/reduction.ts";
import { softmax } from "../ops/softmax.ts";
import { putAlong, topK } from "../ops/top-k.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { viewOf } from "../tensor/views.ts";
import type { AuxLossOptions } from "./losses.ts";
import type { Routing } from "./routing.ts";

type F32 = Tensor<"f32">;

export interface ImportanceOptions extends AuxLossOptions {
  /** What counts as importance: see importanceLoss. Default probs */
  of?: "probs" | "weights";
  /** Divides the variance by E − 1 (fastmoe) in place of E (Shazeer's code, V-MoE). Default false */
  sampleVariance?: boolean;
}

export interface LoadOptions extends Omit<ImportanceOptions, "of"> {
  /** What a logit must exceed: see loadLoss. Default kth */
  threshold?: "kth" | "kth-of-others";
}

/**
 * Pushes the router towards giving experts the same importance: CV² = (std / mean)² over experts of Σ over tokens of
 * importance[n, e], the mean over layers and routing groups. The importance is
 * - `probs`: softmax of the logits without noise (Riquelme et al. 2021, arXiv:2106.05974, appendix A);
 * - `weights`: the weights of the chosen experts, 0 elsewhere (Shazeer et al. 2017, arXiv:1701.06538, equations 6 and 7).
 * @returns a scalar, unscaled: V-MoE multiplies by 0.005, Shazeer by 0.1
 */
export function importanceLoss(routings: readonly Routing[], options: ImportanceOptions = {}): F32 {
  return meanOver("importanceLoss", routings, (routing) => groupImportance(routing, options));
}

/** importanceLoss of one layer, a routing group at a time: [R]. */
export function groupImportance(routing: Routing, { of = "probs", ...options }: ImportanceOptions = {}): F32 {
  return squaredVariation(of === "probs" ? softmax(routing.logits) : denseWeights(routing), routing, options);
}

/**
 * Pushes the router towards giving experts the same chance to be chosen, were the noise drawn again: CV² over experts of
 * Σ over tokens of P[n, e], the mean over layers and routing groups.
 * P = Φ((logits − threshold) / deviation), where the threshold is
 * - `kth`: the K-th largest noisy logit (Riquelme et al. 2021, arXiv:2106.05974, appendix A, as its code reads it);
 * - `kth-of-others`: the K-th largest of the other experts' (Shazeer et al. 2017, arXiv:1701.06538, equation 8).
 * The gradient flows through the threshold, too.
 * @returns a scalar, unscaled: V-MoE multiplies by 0.005, Shazeer by 0.1
 * @throws {ConfigError} for a routing without noise
 */
export function loadLoss(routings: readonly Routing[], options: LoadOptions = {}): F32 {
  return meanOver("loadLoss", routings, (routing) => groupLoad(routing, options));
}

/** loadLoss of one layer, a routing group at a time: [R]. @throws {ConfigError} for a routing without noise */
export function groupLoad(routing: Routing, { threshold = "kth", ...options }: LoadOptions = {}): F32 {
  const { logits, noise } = routing;
  if (!noise)
    throw new ConfigError("loadLoss: the router chose without noise; leave the load loss out, as evaluation does");
  const margin = subtract(logits, threshold === "kth" ? kthLargest(noise) : kthLargestOfOthers(noise));
  const { deviation } = noise;
  const z = typeof deviation === "number" ? scale(margin, 1 / deviation) : divide(margin, deviation);
  return squaredVariation(normalCdf(z), routing, options);
}

type Noise = NonNullable<Routing["noise"]>;

/** [N, 1] */
function kthLargest({ noisyLogits, topK: k }: Noise): F32 {
  return slice(topK(noisyLogits, k).values, 1, k - 1, 1);
}

/** [N, E]: the (K + 1)-th largest for a chosen expert, the K-th for the others. */
function kthLargestOfOthers({ noisyLogits, topK: k }: Noise): F32 {
  if (k === noisyLogits.axis(-1)) return map("T(-1e15)", [noisyLogits]); // all are chosen for certain
  const { values } = topK(noisyLogits, k + 1);
  const [last, next] = [slice(values, 1, k - 1, 1), slice(values, 1, k, 1)];
  return where(map("select(T(0.0), T(1.0), a > b)", [noisyLogits, next]), next, last);
}

/** [N, E]: the weight of each chosen expert, 0 elsewhere. */
function denseWeights({ plan, weights, probs }: Routing): F32 {
  const { assignmentExpert, numTokens, compact } = plan;
  if (compact) throw new ConfigError("importanceLoss: weights of ragged choices have no [tokens, k]; use probs");
  const choices = [numTokens, plan.maxAssignments / Math.max(1, numTokens)];
  return putAlong(reshape(weights, choices), viewOf(assignmentExpert, choices), probs.axis(-1));
}

/** (std / mean)² over experts of the sum over each routing group's tokens: [N, E] to [R]. Only padding, or no token, gives 0. */
function squaredVariation(each: F32, { plan }: Routing, { mask, sampleVariance = false }: ImportanceOptions): F32 {
  const [numTokens = 0, numExperts = 0] = each.shape;
  const { routingGroups } = plan;
  if (numExperts === 1) return zeros(each.device, [routingGroups], "f32");
  const masked = mask ? multiply(each, reshape(mask, [numTokens, 1])) : each;
  const total = sum(reshape(masked, [routingGroups, numTokens / routingGroups, numExperts]), 1); // [R, E]
  const average = reshape(mean(total, -1), [routingGroups, 1]);
  const divisor = numExperts - (sampleVariance ? 1 : 0);
  const variance = scale(sum(square(subtract(total, average)), -1), 1 / divisor);
  const scaleOf = square(reshape(average, [routingGroups]));
  return divide(variance, add(scaleOf, map("select(T(0.0), T(1.0), a == T(0.0))", [scaleOf])));
}

function meanOver(where: string, routings: readonly Routing[], loss: (routing: Routing) => F32): F32 {
  if (routings.length === 0) throw new ShapeError(`${where}: needs the routing of at least one layer`);
  return scale(routings.map((routing) => mean(loss(routing))).reduce(add), 1 / routings.length);
}
