import { ConfigError } from "../device/errors.ts";
import { add, addScalar, divide, multiply, scale, sqrt, square, subtract } from "../ops/elementwise.ts";
import type { Tensor } from "../tensor/tensor.ts";

type F32 = Tensor<"f32">;

/** A constant, or a scalar that is learned. */
type Coefficient = number | F32;

export type MomentumOptions =
  /** x ← x − m with m ← μ m + γ f(x). Published: μ 0.7, γ 1. */
  | { kind: "momentum"; mu: Coefficient; gamma: Coefficient }
  /**
   * Adam in the first layer, or in all of them: p ← β₁ p + (1 − β₁) f(x), v ← β₂ v + (1 − β₂) f(x)²,
   * x ← x − κ x − γ_A p / √(v + ε). Layers without it take the momentum step, whose m every layer moves on.
   */
  | {
      kind: "adam";
      mu: Coefficient;
      gamma: Coefficient;
      /** γ_A. Default 1 */
      adamGamma?: Coefficient;
      /** Default 0.9 and 0.999 */
      betas?: readonly [number, number];
      /** κ. Default 1, as in the released code, where the first layer's input cancels. */
      weightDecay?: number;
      /** Default "first" */
      layers?: "first" | "all";
    }
  /**
   * As momentum, f taken at x − α m, with coefficients of one rate: γ = k (1 − ρ)² (1 + ρ) / L, μ = k ρ³ / (k − 1),
   * α = ρ³ / ((k − 1)(1 − ρ)² (1 + ρ)); k > 1 is the condition number, L > 0 the smoothness, ρ the rate, at least 1 − 1/√k (Cyrus et al.
   * 2018, arXiv:1710.04753).
   */
  | { kind: "robust"; conditionNumber: number; smoothness: number; rate: number };

/** What passes from one MoE layer to the next; all of x's shape. */
export interface MomentumState {
  /** Layers so far. */
  depth: number;
  /** m */
  momentum: F32;
  /** p and v of Adam. */
  first?: F32;
  second?: F32;
}

const EPSILON = 1e-8;

/** γ, μ and α of the robust form. @throws {ConfigError} for numbers out of range */
export function robustCoefficients(options: Extract<MomentumOptions, { kind: "robust" }>) {
  const { conditionNumber: k, smoothness: L, rate: rho } = options;
  if (!(k > 1 && L > 0 && rho >= 0 && rho < 1))
    throw new ConfigError(
      `robust momentum: conditionNumber ${k}, smoothness ${L}, rate ${rho}; expected above 1, above 0, and 0 to 1 without 1`,
    );
  const shrink = (1 - rho) ** 2 * (1 + rho);
  return { gamma: (k * shrink) / L, mu: (k * rho ** 3) / (k - 1), alpha: rho ** 3 / ((k - 1) * shrink) };
}

/**
 * The residual around a sparse MoE layer as a step of momentum through depth, in place of x + f(x). Signs are those of the released
 * code, which subtracts what experts say. A pre-norm layer gives f = MoE ∘ norm; a post-norm one normalises what comes back.
 * @param x [..., H] the layer's input
 * @param f the MoE layer without residual
 * @param state what the layer before passed on; absent in the first
 * @returns y of x's shape, and the state for the next layer
 * @see Teo and Nguyen 2024, arXiv:2410.14574, equations 12 to 20
 */
export function momentumStep(
  x: F32,
  f: (x: F32) => F32,
  options: MomentumOptions,
  state?: MomentumState,
): { y: F32; state: MomentumState } {
  const depth = state?.depth ?? 0;
  if (options.kind === "robust") {
    const { gamma, mu, alpha } = robustCoefficients(options);
    const momentum = accumulate(f(state ? subtract(x, scale(state.momentum, alpha)) : x), mu, gamma, state?.momentum);
    return { y: subtract(x, momentum), state: { depth: depth + 1, momentum } };
  }
  const output = f(x);
  const momentum = accumulate(output, options.mu, options.gamma, state?.momentum);
  const { first, second } = state ?? {};
  const next = { depth: depth + 1, momentum, ...(first && second ? { first, second } : {}) };
  if (options.kind === "momentum" || (depth > 0 && options.layers !== "all"))
    return { y: subtract(x, momentum), state: next };
  const { betas = [0.9, 0.999], adamGamma = 1, weightDecay = 1 } = options;
  const p = accumulate(output, betas[0], 1 - betas[0], first);
  const v = accumulate(square(output), betas[1], 1 - betas[1], second);
  const move = times(divide(p, sqrt(addScalar(v, EPSILON))), adamGamma);
  const y = weightDecay === 1 ? scale(move, -1) : subtract(scale(x, 1 - weightDecay), move);
  return { y, state: { ...next, first: p, second: v } };
}

/** decay · past + share · now; without a past, it is 0. */
function accumulate(now: F32, decay: Coefficient, share: Coefficient, past: F32 | undefined): F32 {
  const added = times(now, share);
  return past ? add(times(past, decay), added) : added;
}

function times(x: F32, coefficient: Coefficient): F32 {
  if (typeof coefficient !== "number") return multiply(x, coefficient);
  return coefficient === 1 ? x : scale(x, coefficient);
}
