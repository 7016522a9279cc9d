/** Rounds of the Feistel network; four already look random, six leave no pattern between neighbouring keys. */
const ROUNDS = 6;

/**
 * Element `index` of a shuffle of 0..count-1 that depends on seed and epoch only, so nothing is stored and any place
 * can be entered: a Feistel network on the next even power of two, walked until it lands below `count`.
 * @param count 1 to 2^30
 */
export function shuffledIndex(index: number, count: number, seed: number, epoch: number): number {
  let halfBits = 1;
  while (4 ** halfBits < count) halfBits++;
  const mask = 2 ** halfBits - 1;
  const key = mix(mix(seed >>> 0) ^ (epoch >>> 0));
  let value = index;
  do {
    let left = value >>> halfBits;
    let right = value & mask;
    for (let round = 0; round < ROUNDS; round++) [left, right] = [right, left ^ (mix(right ^ mix(key + round)) & mask)];
    value = left * 2 ** halfBits + right;
  } while (value >= count);
  return value;
}

/** The finalizer of MurmurHash3: every bit of the input moves every bit of the result. */
function mix(value: number): number {
  let h = (value + 0x9e3779b9) | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
