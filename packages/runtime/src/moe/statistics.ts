import { ValueError } from "../device/errors.ts";
import { countExperts } from "../kernels/count-experts.ts";
import { map } from "../kernels/map.ts";
import { reduce } from "../kernels/reduce.ts";
import { scope } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { viewOf } from "../tensor/views.ts";
import type { Routing } from "./routing.ts";

/** How one layer used its experts. */
export interface RoutingStatistics {
  /** Assignments an expert got, dropped ones included. */
  tokensPerExpert: number[];
  /** Mean over tokens of the entropy of the router's probabilities, in nats: 0 = sure, ln E = undecided. */
  routerEntropy: number;
  /** Entropy of tokensPerExpert as shares, over ln E: 1 = even load, 0 = one expert takes all. */
  loadEntropy: number;
  /** Share of assignments that found no room. */
  dropRate: number;
}

export interface StatisticsOptions {
  /** [N] f32, 0 = padding: such tokens are not counted. */
  mask?: Tensor<"f32"> | undefined;
  /** What errors call the layers. Default: "MoE layer 0", … */
  names?: readonly string[];
}

/**
 * Reads the statistics of a step's routings, one a layer. The copies are recorded at once, so the routings may be disposed.
 * @throws {ValueError} naming the layer whose router gave weights that are not finite, or whose plan overflowed
 */
export async function routingStatistics(
  routings: readonly Routing[],
  { mask, names }: StatisticsOptions = {},
): Promise<RoutingStatistics[]> {
  const reads = scope(() =>
    routings.map((routing) => {
      const { plan, probs } = routing;
      const counts = countExperts(plan, { numExperts: probs.axis(-1), mask });
      const tokens = mask ? reduce(mask, "sum").item() : plan.numTokens;
      return [counts.read(), totalEntropy(probs, mask).item(), plan.status.read(), tokens] as const;
    }),
  );
  return Promise.all(
    reads.map(async (pending, layer) => {
      const [counts, entropy, status, tokens] = await Promise.all(pending);
      const [total = 0, dropped = 0] = status;
      expectSound(status, names?.[layer] ?? `MoE layer ${layer}`);
      return {
        tokensPerExpert: [...counts],
        routerEntropy: entropy / Math.max(1, tokens),
        loadEntropy: relativeEntropy(counts),
        dropRate: dropped / Math.max(1, total + dropped),
      };
    }),
  );
}

/** Σ over tokens of −Σ p ln p. */
function totalEntropy(probs: Tensor<"f32">, mask: Tensor<"f32"> | undefined): Tensor<"f32"> {
  const each = mask
    ? map("-a * log(max(a, T(1e-30))) * b", [probs, viewOf(mask, [probs.axis(0), 1])])
    : map("-a * log(max(a, T(1e-30)))", [probs]);
  return reduce(each, "sum");
}

function expectSound([, , overflow = 0, nonFinite = 0]: Uint32Array, layer: string): void {
  if (nonFinite > 0)
    throw new ValueError(
      `${layer}: the router gave ${nonFinite} weights that are not finite; look at the inputs, the learning rate and the last checkpoint`,
    );
  if (overflow > 0)
    throw new ValueError(`${layer}: the routing plan overflowed by ${overflow} assignments; raise maxAssignments`);
}

function relativeEntropy(counts: ArrayLike<number>): number {
  const values = Array.from(counts);
  const total = values.reduce((a, b) => a + b, 0);
  if (total === 0 || values.length < 2) return 1;
  const shares = values.map((count) => count / total);
  return shares.reduce((h, p) => h - (p > 0 ? p * Math.log(p) : 0), 0) / Math.log(values.length);
}
