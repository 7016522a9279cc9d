type Counter = readonly [number, number, number, number];

/** Philox4x32-10: four random words of a counter and a key (Salmon et al. 2011, doi 10.1145/2063384.2063405). */
export function philox(counter: Counter, key: readonly [number, number]): [number, number, number, number] {
  let [a, b, c, d] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const [high0, low0] = multiply(0xd2511f53, a);
    const [high1, low1] = multiply(0xcd9e8d57, c);
    [a, b, c, d] = [(high1 ^ b ^ k0) >>> 0, low1, (high0 ^ d ^ k1) >>> 0, low0];
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  return [a, b, c, d];
}

/** High and low word of a 32 x 32 bit product. */
function multiply(x: number, y: number): [number, number] {
  const [x0, x1, y0, y1] = [x & 0xffff, x >>> 16, y & 0xffff, y >>> 16];
  const middle = x1 * y0 + ((x0 * y0) >>> 16);
  const carry = (middle & 0xffff) + x0 * y1;
  return [(x1 * y1 + Math.floor(middle / 0x10000) + (carry >>> 16)) >>> 0, Math.imul(x, y) >>> 0];
}

/** The counter whose first two words are the key derived for a name or a number, away from those that number the words of a key. */
export function counterOf(use: string | number): Counter {
  if (typeof use === "number") return [use >>> 0, 0, 0, 0x80000002];
  let hash = 0x811c9dc5; // FNV-1a
  for (const byte of new TextEncoder().encode(use)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return [hash, 0, 0, 0x80000001];
}

/**
 * A place in a tree of random numbers: the same key gives the same numbers on every host and device, in any order. Split it by
 * name for independent uses, fold in a number for the steps of one use.
 */
export class RandomKey {
  readonly key: readonly [number, number];

  /** @param seed an integer, or the two words of a key */
  constructor(seed: number | readonly [number, number]) {
    this.key = typeof seed === "number" ? [seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0] : seed;
  }

  /** An independent key for a use with this name. */
  split(name: string): RandomKey {
    return this.#derive(counterOf(name));
  }

  /** An independent key for the n-th of a sequence, 0 ≤ n < 2^32. */
  fold(n: number): RandomKey {
    return this.#derive(counterOf(n));
  }

  #derive(counter: Counter): RandomKey {
    const [a, b] = philox(counter, this.key);
    return new RandomKey([a, b]);
  }

  /** `count` words, uniform over u32. */
  words(count: number): Uint32Array<ArrayBuffer> {
    const out = new Uint32Array(count);
    for (let i = 0; i < count; i += 4) {
      const block = philox([i / 4, 0, 0, 0], this.key);
      for (let k = 0; k < 4 && i + k < count; k++) out[i + k] = block[k] as number;
    }
    return out;
  }

  /** `count` numbers in [0, 1), multiples of 2^-24. */
  uniform(count: number): Float32Array<ArrayBuffer> {
    return Float32Array.from(this.words(count), (word) => (word >>> 8) / 2 ** 24);
  }

  /** `count` normal numbers with mean 0 and variance 1 (Box and Muller, in float64). */
  normal(count: number): Float32Array<ArrayBuffer> {
    const words = this.words(2 * Math.ceil(count / 2));
    const out = new Float32Array(count);
    for (let i = 0; i < count; i += 2) {
      const radius = Math.sqrt(-2 * Math.log(((words[i] as number) + 1) / 2 ** 32)); // never log 0
      const angle = (2 * Math.PI * (words[i + 1] as number)) / 2 ** 32;
      out[i] = radius * Math.cos(angle);
      if (i + 1 < count) out[i + 1] = radius * Math.sin(angle);
    }
    return out;
  }
}
