import type { Tensor } from "../tensor/tensor.ts";
import { NONE } from "./plan.ts";
import type { Routing } from "./routing.ts";

/** Which choices of one layer found room. */
export interface ServingStatistics {
  /** Share of all first, second, … choices that found no room. */
  dropRateByChoice: number[];
  /** How many tokens got rows of 0, 1, 2, … experts. */
  tokensByExpertsServed: number[];
  /** Experts that got no row. */
  unusedExperts: number[];
}

/**
 * Reads what became of every choice, one result a layer: for a look at a step, since all assignments are copied. Experts without a
 * product neither drop nor serve.
 * @param options.mask [N] f32, 0 = padding: such tokens are not counted
 */
export function servingStatistics(
  routings: readonly Routing[],
  { mask }: { mask?: Tensor<"f32"> | undefined } = {},
): Promise<ServingStatistics[]> {
  return Promise.all(
    routings.map(async ({ plan }) => {
      const { tokenOffsets, assignmentExpert, assignmentSlot, numGroups } = plan;
      const [offsets, experts, slots, real] = await Promise.all([
        tokenOffsets.read(),
        assignmentExpert.read(),
        assignmentSlot.read(),
        mask?.read(),
      ]);
      const [wanted, dropped, served] = [[], [], []] as [number[], number[], number[]];
      const unused = new Set(Array.from({ length: numGroups }, (_, e) => e));
      for (const [token, begin] of offsets.subarray(0, -1).entries()) {
        if (real?.[token] === 0) continue;
        let rows = 0;
        for (let a = begin; a < (offsets[token + 1] as number); a++) {
          const expert = experts[a] as number;
          if (expert >= numGroups) continue;
          count(wanted, a - begin);
          if (slots[a] === NONE) {
            count(dropped, a - begin);
            continue;
          }
          unused.delete(expert);
          rows++;
        }
        count(served, rows);
      }
      return {
        dropRateByChoice: Array.from(wanted, (total = 0, k) => (dropped[k] ?? 0) / Math.max(1, total)),
        tokensByExpertsServed: Array.from(served, (tokens = 0) => tokens),
        unusedExperts: [...unused],
      };
    }),
  );
}

function count(counts: number[], index: number): void {
  counts[index] = (counts[index] ?? 0) + 1;
}
