import { ShapeError } from "../../device/errors.ts";
import { map } from "../../kernels/map.ts";
import { addScalar, log, multiply, negate } from "../../ops/elementwise.ts";
import { reshape } from "../../ops/layout.ts";
import { matmul } from "../../ops/matmul.ts";
import { sum } from "../../ops/reduction.ts";
import { formatShape } from "../../tensor/shape.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { type AuxLossOptions, meanOverTokens } from "../losses.ts";
import { everyExpert, onlyChosen, shares } from "../routers/choices.ts";
import type { RouteContext } from "../routers/router.ts";
import { type Routing, sparseRouting } from "../routing.ts";

type F32 = Tensor<"f32">;

/** The routing of a gate that makes its choice of k selectors, each a distribution over the experts that sharpens until it names one. */
export interface SelectorRouting extends Routing<undefined> {
  /** [N, k, E] the selectors' distributions, before the permutation. */
  readonly selectors: F32;
  /** [N, k, E] the share of each selector's experts among all, before the permutation. */
  readonly gates: F32;
  /** [N, D] the probabilities that the selectors are made of. */
  readonly decisions: F32;
}

export interface SelectorContext extends RouteContext {
  /**
   * [m, E, E], m = 1 or k: moves weight from place i of a selector to expert l by its element (i, l); doubly stochastic while it is
   * learned, then a permutation. See PermutationLearner. Default: the places are the experts.
   */
  permutation?: F32 | undefined;
}

const IDENTITY = (device: F32["device"], n: number) =>
  tensor(
    device,
    Float32Array.from({ length: n * n }, (_, i) => Number(i % (n + 1) === 0)),
    [1, n, n],
  );

interface Selection extends Pick<SelectorRouting, "selectors" | "gates" | "decisions" | "logits"> {
  context: SelectorContext;
  /** Whether g is divided by its sum. */
  normalize: boolean;
}

/**
 * Adds up what k selectors give, g_l = Σ_j Σ_i gates_ji P_j[i, l], and chooses the experts with g > 0; the others are not computed.
 * While a permutation is learned that is every expert, since each may still get weight.
 * @throws {ShapeError} when the permutation does not fit
 */
export function selectorRouting({ gates, logits, context, normalize, ...rest }: Selection): SelectorRouting {
  const [N, k, E] = [gates.axis(0), gates.axis(1), gates.axis(2)];
  const permutation = context.permutation ?? IDENTITY(gates.device, E);
  const count = permutation.axis(0);
  if (permutation.rank !== 3 || permutation.axis(1) !== E || permutation.axis(2) !== E || (count !== 1 && count !== k))
    throw new ShapeError(
      `permutation ${formatShape(permutation.shape)} for ${k} selectors of ${E} experts, expected [1 or ${k}, ${E}, ${E}]`,
    );
  const mixed =
    count === 1
      ? matmul(sum(gates, 1), reshape(permutation, [E, E]))
      : matmul(reshape(gates, [N, k * E]), reshape(permutation, [k * E, E]));
  const probs = normalize ? shares(mixed) : mixed; // [N, E]
  const experts = everyExpert(gates.device, E);
  const positive = map("select(T(0.0), T(1.0), a > T(0.0))", [probs]);
  const indices = onlyChosen(experts, positive);
  return { ...sparseRouting({ indices, weights: probs, probs, logits, mask: context.mask }), gates, ...rest };
}

const EPSILON = 1e-6;

/**
 * Sharpens selectors, so that each comes to name one expert: the mean over tokens of Σ_j Σ_l −p_jl log(p_jl + 1e-6).
 * @returns a scalar, unscaled; published coefficients run from 0.05 to 100 with the data set
 * @see Ibrahim et al. 2023, arXiv:2306.02824, section 3.3
 */
export function selectorEntropy({ selectors }: SelectorRouting, { mask }: AuxLossOptions = {}): F32 {
  const terms = negate(multiply(selectors, log(addScalar(selectors, EPSILON))));
  const perToken = sum(reshape(terms, [terms.axis(0), terms.axis(1) * terms.axis(2)]), 1);
  return reshape(meanOverTokens(reshape(perToken, [terms.axis(0), 1]), mask), []);
}
