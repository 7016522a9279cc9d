import { ConfigError, ShapeError } from "../device/errors.ts";
import { countExperts } from "../kernels/count-experts.ts";
import { full } from "../kernels/fill.ts";
import { map } from "../kernels/map.ts";
import { reduce } from "../kernels/reduce.ts";
import { putAlong } from "../kernels/take-along.ts";
import { add, divide, multiply, scale, square, subtract } from "../ops/elementwise.ts";
import { reshape, slice } from "../ops/layout.ts";
import { mean as meanOf, sum } from "../ops/reduction.ts";
import { logSumExp } from "../ops/softmax.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { viewOf } from "../tensor/views.ts";
import type { Routing } from "./routing.ts";

type F32 = Tensor<"f32">;

export interface AuxLossOptions {
  /** [N] f32, 0 = padding; the same tokens in every layer. */
  mask?: F32 | undefined;
}

/**
 * How the balance loss treats several layers and k > 1, with f_e the share of tokens that chose e (Σ f = k) and P_e its mean probability:
 * - `concatenated` (default; Hugging Face's Mixtral, Time-MoE): f and P over the tokens of all layers, E · Σ_e f_e P_e; k at balance;
 * - `switch`: the mean over layers of E · Σ_e f_e P_e / k; 1 at balance (Fedus et al. 2021, arXiv:2101.03961, equation 4);
 * - `gshard`: the mean over layers of E · Σ_e f¹_e P_e with f¹ from first choices alone; 1 at balance (Lepikhin et al. 2020,
 *   arXiv:2006.16668, algorithm 1, times E² as in its implementations).
 * The last two look at each routing group of a plan alone, and take the mean.
 */
export type BalanceForm = "concatenated" | "switch" | "gshard";

/**
 * Pushes the router towards using its experts evenly; f is a constant, gradients flow through P.
 * @param routings one a layer, all over the same tokens
 * @returns a scalar, unscaled: multiply by the model's coefficient
 * @throws {ShapeError} without a routing
 */
export function balanceLoss(
  routings: readonly Routing[],
  { form = "concatenated", mask }: AuxLossOptions & { form?: BalanceForm } = {},
): F32 {
  expectLayers("balanceLoss", routings);
  if (form !== "concatenated" && routings.some(({ plan }) => plan.routingGroups > 1))
    return mean(routings.map((routing) => meanOf(groupBalance(routing, { form, mask }))));
  const parts = routings.map((routing) => ({
    share: share(routing, form, mask),
    probability: meanOverTokens(routing.probs, mask),
  }));
  const numExperts = routings[0]?.probs.axis(-1) ?? 1;
  if (form === "concatenated") {
    const shares = mean(parts.map((part) => part.share));
    const probabilities = mean(parts.map((part) => part.probability));
    return scale(sum(multiply(shares, probabilities)), numExperts);
  }
  return scale(mean(parts.map(({ share, probability }) => sum(multiply(share, probability)))), numExperts);
}

/**
 * The balance loss of one layer, a routing group at a time.
 * @returns [R]
 * @throws {ConfigError} for ragged choices, which have no [tokens, k]
 */
export function groupBalance(
  { plan, probs }: Routing,
  { form, mask }: AuxLossOptions & { form: "switch" | "gshard" },
): F32 {
  const { numTokens, routingGroups, assignmentExpert, maxAssignments } = plan;
  if (plan.compact) throw new ConfigError("balanceLoss: routing groups of ragged choices are not supported");
  const numExperts = probs.axis(-1);
  const choices = viewOf(assignmentExpert, [numTokens, maxAssignments / Math.max(1, numTokens)]);
  const counted = form === "gshard" && numTokens > 0 ? slice(choices, 1, 0, 1) : choices;
  const marks = putAlong(full(probs.device, counted.shape, 1, "f32"), counted, numExperts); // [N, E]
  const byGroup = (x: F32) => {
    const masked = mask ? multiply(x, reshape(mask, [numTokens, 1])) : x;
    return sum(reshape(masked, [routingGroups, numTokens / routingGroups, x.axis(1)]), 1); // [R, E]
  };
  const tokens = byGroup(full(probs.device, [numTokens, 1], 1, "f32")); // [R, 1]
  const counts = byGroup(marks);
  const total = form === "gshard" ? tokens : reduce(counts, "sum", 1, true);
  const shares = divide(counts, atLeastTiny(total));
  const probabilities = divide(byGroup(probs), atLeastTiny(tokens));
  return scale(sum(multiply(shares, probabilities), 1), numExperts);
}

/**
 * The balance loss of each sequence alone, so that no sequence leans on few experts: the mean over sequences of E Σ_e f_e P_e, f over its
 * assignments and P its mean probability; 1 at balance.
 * @param numSequences B: the tokens are so many sequences of one length, one after another
 * @returns a scalar, unscaled; DeepSeekMoE's coefficient is 0.001
 * @throws {ShapeError} unless the tokens make so many sequences
 * @see Dai et al. 2024, arXiv:2401.06066, equations 12 to 14, a sequence at a time as released; DeepSeek-AI 2024, arXiv:2412.19437, equation 17
 */
export function sequenceBalanceLoss(routing: Routing, numSequences: number, { mask }: AuxLossOptions = {}): F32 {
  const { plan } = routing;
  if (!(Number.isInteger(numSequences) && numSequences >= 1 && plan.numTokens % numSequences === 0))
    throw new ShapeError(
      `sequenceBalanceLoss: ${plan.numTokens} tokens cannot make ${numSequences} sequences of one length`,
    );
  const bySequence = { ...routing, plan: { ...plan, routingGroups: numSequences } };
  return meanOf(groupBalance(bySequence, { form: "switch", mask }));
}

/**
 * Evens the load of devices that hold runs of neighbouring experts: Σ_g f'_g P'_g with f'_g the mean of f over the run, P'_g the sum of P,
 * f_e the share of assignments that chose e times E, P_e its mean probability; 1 at balance.
 * @param numDevices D
 * @returns a scalar, unscaled; the published coefficient is 0.05
 * @throws {ShapeError} unless the devices divide the experts
 * @see Dai et al. 2024, arXiv:2401.06066, equations 15 to 17
 */
export function deviceBalanceLoss(routing: Routing, numDevices: number, { mask }: AuxLossOptions = {}): F32 {
  const numExperts = routing.probs.axis(-1);
  const perDevice = numExperts / numDevices;
  if (!Number.isInteger(perDevice))
    throw new ShapeError(`deviceBalanceLoss: ${numExperts} experts cannot be split evenly over ${numDevices} devices`);
  const byDevice = (x: F32) => sum(reshape(x, [numDevices, perDevice]), 1);
  const load = scale(byDevice(share(routing, "switch", mask)), numExperts / perDevice);
  return sum(multiply(load, byDevice(meanOverTokens(routing.probs, mask))));
}

/** Keeps router logits small: the mean over tokens and layers of logsumexp(logits)² (Zoph et al. 2022, arXiv:2202.08906, equation 5). */
export function zLoss(routings: readonly Routing[], { mask }: AuxLossOptions = {}): F32 {
  expectLayers("zLoss", routings);
  const layers = routings.map(({ logits }) =>
    meanOverTokens(reshape(square(logSumExp(logits)), [logits.axis(0), 1]), mask),
  );
  return reshape(mean(layers), []);
}

/**
 * Sharpens the router, so that top-p routing takes few experts: the mean over tokens of −Σ_e p_e ln p_e, summed over layers.
 * @see Huang et al. 2024, arXiv:2403.07652, section 3 (the dynamic loss; published coefficient 1e-4)
 */
export function entropyLoss(routings: readonly Routing[], { mask }: AuxLossOptions = {}): F32 {
  expectLayers("entropyLoss", routings);
  // With p = softmax(l) the entropy is logsumexp(l) − Σ p l: no logarithm of a vanishing p.
  const layers = routings.map(({ logits, probs }) => {
    const entropy = subtract(logSumExp(logits), sum(multiply(probs, logits), 1));
    return meanOverTokens(reshape(entropy, [logits.axis(0), 1]), mask);
  });
  return reshape(layers.reduce(add), []);
}

function expectLayers(where: string, routings: readonly Routing[]): void {
  if (routings.length === 0) throw new ShapeError(`${where}: needs the routing of at least one layer`);
}

function mean(tensors: F32[]): F32 {
  return scale(tensors.reduce(add), 1 / tensors.length);
}

/** [E] how often an expert was chosen, per token or (`switch`) per assignment; of first choices alone for `gshard`. */
export function share({ plan, probs }: Routing, form: BalanceForm, mask: F32 | undefined): F32 {
  const counts = countExperts(plan, { numExperts: probs.axis(-1), mask, firstOnly: form === "gshard" });
  return form === "switch"
    ? divide(counts, atLeastTiny(reduce(counts, "sum")))
    : divideByTokens(counts, plan.numTokens, mask);
}

/** The mean over the tokens that the mask leaves: [N, D] to [D]; 0 when it leaves none. */
export function meanOverTokens(x: F32, mask: F32 | undefined): F32 {
  const masked = mask ? multiply(x, reshape(mask, [x.axis(0), 1])) : x;
  return divideByTokens(sum(masked, 0), x.axis(0), mask);
}

function divideByTokens(x: F32, numTokens: number, mask: F32 | undefined): F32 {
  return mask ? divide(x, atLeastTiny(reduce(mask, "sum"))) : scale(x, 1 / Math.max(1, numTokens));
}

/** A divisor that makes the mean over nothing 0. */
function atLeastTiny(x: F32): F32 {
  return map("max(a, T(1e-9))", [x]);
}
