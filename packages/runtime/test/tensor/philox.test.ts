import { describe, expect, test } from "vitest";
import { philox, RandomKey } from "../../src/tensor/philox.ts";

const FULL = 0xffff_ffff;

describe("philox gives the known answers of Random123 (kat_vectors, philox4x32 10)", () => {
  test.each([
    [[0, 0, 0, 0], [0, 0], "6627e8d5 e169c58d bc57ac4c 9b00dbd8"],
    [[FULL, FULL, FULL, FULL], [FULL, FULL], "408f276d 41c83b0e a20bc7c6 6d5451fd"],
    [[0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0], "d16cfe09 94fdcceb 5001e420 24126ea1"],
  ] as [[number, number, number, number], [number, number], string][])("%j with key %j", (counter, key, words) => {
    expect(philox(counter, key).map((word) => word.toString(16).padStart(8, "0"))).toEqual(words.split(" "));
  });
});

/** Mean, variance and the correlation of neighbours. */
function moments(values: Float32Array): { mean: number; variance: number; correlation: number } {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  let product = 0;
  for (let i = 1; i < values.length; i++) product += ((values[i - 1] ?? 0) - mean) * ((values[i] ?? 0) - mean);
  return { mean, variance, correlation: product / values.length / variance };
}

describe("a RandomKey", () => {
  const key = new RandomKey(42);

  test("gives the same numbers every time, and the first ones whatever the count", () => {
    expect(key.words(7)).toEqual(new RandomKey(42).words(7));
    expect(Array.from(key.words(7))).toEqual(Array.from(key.words(100).slice(0, 7)));
    expect(Array.from(key.normal(7))).toEqual(Array.from(key.normal(100).slice(0, 7)));
  });

  test("of another seed, name or number gives others", () => {
    const keys = [key, new RandomKey(43), new RandomKey(42 + 2 ** 32), key.split("a"), key.split("b")];
    keys.push(key.split(""), key.fold(0), key.fold(1), key.split("a").split("b"), key.split("b").split("a"));
    expect(new Set(keys.map((k) => k.words(2).join())).size).toBe(keys.length);
  });

  test("stays what it is: these words are part of every saved run", () => {
    expect(Array.from(key.words(2))).toEqual([2632642643, 2012563771]);
    expect(key.split("layers.0.dropout").key).toEqual([2555777053, 3605193747]);
    expect(key.fold(1000).key).toEqual([2808999439, 558878283]);
  });

  test("survives being stored by its two words", () => {
    const stored = key.split("data");
    expect(new RandomKey(stored.key).words(5)).toEqual(stored.words(5));
  });

  // Bounds are five standard errors for 2^16 numbers.
  test("uniform is flat on [0, 1)", () => {
    const values = key.uniform(65_536);
    expect(Math.min(...values)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...values)).toBeLessThan(1);
    const { mean, variance, correlation } = moments(values);
    expect(Math.abs(mean - 0.5)).toBeLessThan(5 * Math.sqrt(1 / 12 / 65_536));
    expect(Math.abs(variance - 1 / 12)).toBeLessThan(5 * Math.sqrt(1 / 180 / 65_536));
    expect(Math.abs(correlation)).toBeLessThan(5 / 256);
  });

  test("normal has mean 0, variance 1 and a normal tail", () => {
    const values = key.normal(65_536);
    const { mean, variance, correlation } = moments(values);
    expect(Math.abs(mean)).toBeLessThan(5 / 256);
    expect(Math.abs(variance - 1)).toBeLessThan(5 * Math.sqrt(2 / 65_536));
    expect(Math.abs(correlation)).toBeLessThan(5 / 256);
    const beyond = values.filter((value) => Math.abs(value) > 1.959964).length / 65_536;
    expect(Math.abs(beyond - 0.05)).toBeLessThan(5 * Math.sqrt((0.05 * 0.95) / 65_536));
  });
});
