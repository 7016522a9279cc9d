import { ValueError } from "../device/errors.ts";
import { countExperts } from "../kernels/count-experts.ts";
import { map } from "../kernels/map.ts";
import { reduce } from "../kernels/reduce.ts";
import { scope } from "../tensor/scope.ts";
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

/**
 * Reads the statistics of a step's routings, one a layer. The copies are recorded at once, so the routings may be disposed.
 * @throws {ValueError} naming the layer whose router gave weights that are not finite, or whose plan overflowed
 */
export async function routingStatistics(routings: readonly Routing[]): Promise<RoutingStatistics[]> {
  const reads = scope(() =>
    routings.map(
      ({ plan, probs }) =>
        [
          countExperts(plan, { numExperts: probs.axis(-1) }).read(),
          reduce(map("-a * log(max(a, T(1e-30)))", [probs]), "sum").read(),
          plan.status.read(),
        ] as const,
    ),
  );
  return Promise.all(
    reads.map(async (pending, layer) => {
      const [counts, entropy, status] = await Promise.all(pending);
      expectSound(status, layer);
      const [total = 0, dropped = 0] = status;
      return {
        tokensPerExpert: [...counts],
        routerEntropy: (entropy[0] ?? 0) / Math.max(1, routings[layer]?.plan.numTokens ?? 1),
        loadEntropy: relativeEntropy(counts),
        dropRate: dropped / Math.max(1, total + dropped),
      };
    }),
  );
}

function expectSound(status: Uint32Array, layer: number): void {
  const [, , overflow = 0, nonFinite = 0] = status;
  if (nonFinite > 0)
    throw new ValueError(
      `layer ${layer}: the router gave ${nonFinite} weights that are not finite; look at the inputs, the learning rate and the last checkpoint`,
    );
  if (overflow > 0)
    throw new ValueError(
      `layer ${layer}: the routing plan overflowed by ${overflow} assignments; raise maxAssignments`,
    );
}

function relativeEntropy(counts: ArrayLike<number>): number {
  const values = Array.from(counts);
  const total = values.reduce((a, b) => a + b, 0);
  if (total === 0 || values.length < 2) return 1;
  return (
    values.reduce((h, count) => h - (count > 0 ? (count / total) * Math.log(count / total) : 0), 0) /
    Math.log(values.length)
  );
}
