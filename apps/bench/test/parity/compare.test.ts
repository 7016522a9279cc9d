import { describe, expect, test } from "vitest";
import { compare } from "../../src/parity/compare.ts";

describe("compare", () => {
  test("differences are taken absolutely, or over the largest reference value", () => {
    const [actual, expected] = [
      [1, -10.5],
      [1, -10],
    ];
    expect(compare("x", actual, expected, { absolute: 0.5 })).toMatchObject({ maxAbsolute: 0.5, passed: true });
    expect(compare("x", actual, expected, { absolute: 0.4 }).passed).toBe(false);
    expect(compare("x", actual, expected, { ofLargest: 0.05 })).toMatchObject({ maxRelative: 0.05, passed: true });
    expect(compare("x", actual, expected, { ofLargest: 0.04 }).passed).toBe(false);
  });

  test("the cosine is that of the angle", () => {
    expect(compare("x", [1, 1], [1, 0], { absolute: 2 }).cosine).toBeCloseTo(Math.SQRT1_2);
    expect(compare("x", [0, 0], [0, 0], { absolute: 0 })).toMatchObject({ cosine: 1, passed: true });
  });

  test.for([
    { actual: [Number.NaN], expected: [0] },
    { actual: [Number.POSITIVE_INFINITY], expected: [0] },
    { actual: [], expected: [0] },
    { actual: [0, 0], expected: [0] },
    { actual: [], expected: [] },
  ])("$actual against $expected fails", ({ actual, expected }) => {
    expect(compare("x", actual, expected, { absolute: 1e9 }).passed).toBe(false);
  });

  test("elements that the reference does not define are left out", () => {
    expect(compare("x", [5, 1], [0, 1], { absolute: 0 }, (i) => i === 1)).toMatchObject({ count: 1, passed: true });
  });
});
