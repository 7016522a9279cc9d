import { describe, expect, test } from "vitest";
import { philox, RandomKey } from "../../src/tensor/philox.ts";

describe("philox", () => {
  // Known answers of Random123, kat_vectors, philox4x32 with 10 rounds.
  test.each([
    [
      [0, 0, 0, 0],
      [0, 0],
      [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    ],
    [
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ] as const)("counter %j and key %j", (counter, key, expected) => {
    expect(philox(counter, key)).toEqual([...expected]);
  });
});

describe("RandomKey", () => {
  test("the same path gives the same numbers, another path others", () => {
    const numbers = (key: RandomKey) => [...key.words(6)];
    expect(numbers(new RandomKey(5).split("a").fold(3))).toEqual(numbers(new RandomKey(5).split("a").fold(3)));
    const paths = [
      new RandomKey(5),
      new RandomKey(6),
      new RandomKey(5).split("a"),
      new RandomKey(5).split("b"),
      new RandomKey(5).fold(0),
      new RandomKey(5).fold(1),
    ];
    expect(new Set(paths.map((key) => numbers(key).join())).size).toBe(paths.length);
  });

  test("a longer draw starts with the shorter one", () => {
    expect([...new RandomKey(1).uniform(10)].slice(0, 7)).toEqual([...new RandomKey(1).uniform(7)]);
  });

  test("uniform lies in [0, 1) and normal has mean 0 and variance 1", () => {
    const uniform = new RandomKey(2).uniform(20_000);
    expect(uniform.every((x) => x >= 0 && x < 1)).toBe(true);
    expect(uniform.reduce((a, b) => a + b, 0) / 20_000).toBeCloseTo(0.5, 2);
    const normal = new RandomKey(3).normal(20_000);
    // Standard errors: 0.007 of the mean, 0.01 of the variance.
    expect(Math.abs(normal.reduce((a, b) => a + b, 0) / 20_000)).toBeLessThan(0.03);
    expect(Math.abs(normal.reduce((a, b) => a + b * b, 0) / 20_000 - 1)).toBeLessThan(0.04);
  });
});
