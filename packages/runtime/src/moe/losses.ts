import { ShapeError } from "../device/errors.ts";
import { countExperts } from "../kernels/count-experts.ts";
import { map } from "../kernels/map.ts";
import { reduce } from "../kernels/reduce.ts";
import { add, divide, multiply, scale, square } from "../ops/elementwise.ts";
import { reshape } from "../ops/layout.ts";
import { sum } from "../ops/reduction.ts";
import { logSumExp } from "../ops/softmax.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Routing } from "./routing.ts";

type F32 = Tensor<"f32">;

export interface AuxLossOptions {
  /** [N] f32, 0 = padding; the same tokens in every layer. */
  mask?: F32 | undefined;
}

/**
 * How the balance loss treats several layers and k > 1, with f_e the share of tokens that chose e and P_e its mean probability:
 * - `concatenated` (default; Hugging Face's Mixtral, Time-MoE): f and P over the tokens of all layers, E · Σ_e f_e P_e; k at balance;
 * - `switch`: the mean over layers of E · Σ_e f_e P_e / k; 1 at balance (Fedus et al. 2021, arXiv:2101.03961, equation 4);
 * - `gshard`: the mean over layers of E · Σ_e f¹_e P_e with f¹ from first choices alone (Lepikhin et al. 2020, arXiv:2006.16668).
 */
export type BalanceForm = "concatenated" | "switch" | "gshard";

/** Pushes the router towards using its experts evenly; f is a constant, gradients flow through P. Returns a scalar. */
export function balanceLoss(
  routings: readonly Routing[],
  { form = "concatenated", mask }: AuxLossOptions & { form?: BalanceForm } = {},
): F32 {
  const parts = routings.map((routing) => {
    const numExperts = routing.probs.axis(-1);
    const topK = routing.plan.maxAssignments / routing.plan.numTokens;
    return {
      numExperts,
      topK,
      share: share(routing, numExperts, mask, form === "gshard"),
      probability: meanProbability(routing, mask),
    };
  });
  const first = parts[0];
  if (!first) throw new ShapeError("balanceLoss: needs the routing of at least one layer");
  const mean = (tensors: F32[]) => scale(tensors.reduce(add), 1 / tensors.length);
  if (form === "concatenated") {
    const product = multiply(mean(parts.map((part) => part.share)), mean(parts.map((part) => part.probability)));
    return scale(sum(product), first.numExperts);
  }
  return mean(
    parts.map(({ numExperts, topK, share, probability }) =>
      scale(sum(multiply(share, probability)), form === "switch" ? numExperts / topK : numExperts),
    ),
  );
}

/** Keeps router logits small: the mean over tokens and layers of logsumexp(logits)² (Zoph et al. 2022, arXiv:2202.08906, equation 5). */
export function zLoss(routings: readonly Routing[], { mask }: AuxLossOptions = {}): F32 {
  if (routings.length === 0) throw new ShapeError("zLoss: needs the routing of at least one layer");
  const each = routings.map(({ logits }) =>
    meanOverTokens(reshape(square(logSumExp(logits)), [logits.axis(0), 1]), mask),
  );
  return reshape(scale(each.reduce(add), 1 / each.length), []);
}

/** f: [E] share of tokens an expert was chosen by, summed over a token's choices (so Σ f = k), or by first choices alone. */
function share({ plan }: Routing, numExperts: number, mask: F32 | undefined, firstOnly: boolean): F32 {
  const topK = plan.maxAssignments / plan.numTokens;
  const counts = countExperts(plan, { numExperts, mask, every: firstOnly ? topK : 1 });
  return divideByTokens(counts, plan.numTokens, mask);
}

function meanProbability({ probs }: Routing, mask: F32 | undefined): F32 {
  return meanOverTokens(probs, mask);
}

/** [N, D] to [D]. */
function meanOverTokens(x: F32, mask: F32 | undefined): F32 {
  const masked = mask ? multiply(x, reshape(mask, [x.axis(0), 1])) : x;
  return divideByTokens(sum(masked, 0), x.axis(0), mask);
}

function divideByTokens(x: F32, numTokens: number, mask: F32 | undefined): F32 {
  return mask ? divide(x, map("max(a, T(1e-9))", [reduce(mask, "sum")])) : scale(x, 1 / Math.max(1, numTokens));
}
