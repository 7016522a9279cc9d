import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { conformalQuantile, conformalWidths, mae, mase, mse, naive, seasonalNaive, smape } from "../src/index.ts";

test("mse and mae leave missing values out", () => {
  expect(mse([1, 5, 9], [2, 3, Number.NaN])).toBe(2.5); // (1 + 4) / 2
  expect(mae([1, 5, 9], [2, 3, Number.NaN])).toBe(1.5);
  expect(() => mse([1], [1, 2])).toThrow("mse: need a forecast for each value, got 1 forecasts, 2 values");
});
test("smape is 0 to 200", () => {
  expect(smape([0, 1], [0, 1])).toBe(0);
  expect(smape([0], [5])).toBe(200);
  expect(smape([1], [3])).toBe(100);
});
test("mase compares with repeating the last season", () => {
  // |3−1|, |4−2| = 2, 2: scale 2; error 3
  expect(mase([8], [5], [1, 2, 3, 4], 2)).toBe(1.5);
  expect(mase([5], [5], [1, 1, 1])).toBe(0);
  expect(mase([6], [5], [1, 1, 1])).toBe(Number.POSITIVE_INFINITY);
  expect(() => mase([8], [5], [1, 2], 2)).toThrow("got 2 values, season=2");
});
test("naive forecasts repeat the last value or season", () => {
  expect([...naive([1, 2, 3], 2)]).toEqual([3, 3]);
  expect([...seasonalNaive([1, 2, 3], 5, 2)]).toEqual([2, 3, 2, 3, 2]);
  expect(() => seasonalNaive([1], 2, 3)).toThrow("need 1 ≤ season ≤ history");
});

describe("conformalQuantile", () => {
  test("the ⌈(n+1)(1−α)⌉-th smallest", () => {
    const residuals = Array.from({ length: 9 }, (_, i) => (i % 2 ? -1 : 1) * (9 - i));
    expect(conformalQuantile(residuals, 0.1)).toBe(9); // ⌈10 · 0.9⌉ = 9
    expect(conformalQuantile(residuals, 0.2)).toBe(8);
  });
  test("too few residuals promise nothing", () =>
    expect(conformalQuantile([1, 2], 0.1)).toBe(Number.POSITIVE_INFINITY));
  test("among n + 1 exchangeable values at least 1 − α are covered", () =>
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0, max: 9, noNaN: true }), { minLength: 3, maxLength: 40 }),
        fc.double({ min: 0.02, max: 0.6, noNaN: true }),
        (values, alpha) => {
          const covered = values.filter((value, i) => value <= conformalQuantile(values.toSpliced(i, 1), alpha)).length;
          return covered >= (1 - alpha) * values.length - 1e-6;
        },
      ),
      { seed: 1 },
    ));
  test("a width for each step of the horizon", () =>
    expect([...conformalWidths([1, 10, 2, 20, 3, 30], 2, 0.5)]).toEqual([2, 20]));
});
