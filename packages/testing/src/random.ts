/** Seeded uniform numbers for test data (mulberry32); not for models, which use the runtime's Philox. */
export function uniform(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** `size` values in [low, high), rounded to f32 so that device and reference start from the same numbers. */
export function uniformArray(size: number, seed: number, low = -1, high = 1): Float64Array<ArrayBuffer> {
  const next = uniform(seed);
  return Float64Array.from({ length: size }, () => Math.fround(low + (high - low) * next()));
}
