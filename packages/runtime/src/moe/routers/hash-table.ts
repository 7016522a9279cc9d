import { ValueError } from "../../device/errors.ts";
import type { RandomKey } from "../../tensor/philox.ts";

/** An expert for each of `vocabSize` tokens, drawn uniformly. */
export function randomHashTable(vocabSize: number, numExperts: number, key: RandomKey): Uint32Array<ArrayBuffer> {
  return Uint32Array.from(key.uniform(vocabSize), (u) => Math.floor(u * numExperts));
}

/**
 * Experts with loads as even as can be: tokens by falling frequency, each to the expert with the least load so far; ties go to the
 * lower token and expert.
 * @param counts [V] how often each token occurs in the training data
 * @throws {ValueError} for a count that is no frequency
 * @see Roller et al. 2021, arXiv:2106.04426, section 3.1, balanced assignment
 */
export function balancedHashTable(counts: ArrayLike<number>, numExperts: number): Uint32Array<ArrayBuffer> {
  const frequencies = Array.from(counts);
  const odd = frequencies.findIndex((count) => !(count >= 0 && Number.isFinite(count)));
  if (odd >= 0) throw new ValueError(`balancedHashTable: counts[${odd}] is ${frequencies[odd]}, expected 0 or more`);
  const byFrequency = [...frequencies.keys()].sort((a, b) => Number(frequencies[b]) - Number(frequencies[a]) || a - b);
  const loads = new Array<number>(numExperts).fill(0);
  const sizes = new Array<number>(numExperts).fill(0);
  const table = new Uint32Array(frequencies.length);
  for (const token of byFrequency) {
    let best = 0; // among equal loads the expert with fewer tokens, so that tokens never seen spread, too
    for (let e = 1; e < numExperts; e++) {
      const byLoad = Number(loads[e]) - Number(loads[best]);
      if (byLoad < 0 || (byLoad === 0 && Number(sizes[e]) < Number(sizes[best]))) best = e;
    }
    table[token] = best;
    loads[best] = Number(loads[best]) + Number(frequencies[token]);
    sizes[best] = Number(sizes[best]) + 1;
  }
  return table;
}
