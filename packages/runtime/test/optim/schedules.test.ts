import { describe, expect, test } from "vitest";
import { constant, cosine, inverseSquareRoot, linearDecay, stepDecay } from "../../src/optim/index.ts";

describe("schedules", () => {
  test("constant rises over the warm-up and stays; the first step already moves", () => {
    expect([0, 1, 3, 4, 99].map((step) => constant(2, { warmupSteps: 4 })(step, 100))).toEqual([0.5, 1, 2, 2, 2]);
    expect(constant(2)(0, 100)).toBe(2);
  });

  test("cosine rises to the peak, halves in the middle and ends at the minimum", () => {
    const rate = cosine(2, { warmupSteps: 10, minimum: 1 });
    expect([0, 4, 9].map((step) => rate(step, 110))).toEqual([0.2, 1, 2]);
    expect(rate(60, 110)).toBeCloseTo(1.5, 12);
    expect(rate(110, 110)).toBeCloseTo(1, 12);
  });

  test("cosine with a length of its own takes no notice of the run's, and stays at the minimum after it", () => {
    const rate = cosine(2, { totalSteps: 100 });
    expect(rate(50, 1000)).toBeCloseTo(1, 12);
    expect(rate(500, 1000)).toBeCloseTo(0, 12);
  });

  test("linear and inverse square root decay", () => {
    expect(linearDecay(1, { warmupSteps: 0 })(25, 100)).toBeCloseTo(0.75, 12);
    expect(inverseSquareRoot(1, { warmupSteps: 16 })(63, 0)).toBeCloseTo(0.5, 12);
  });

  test("stepDecay multiplies the rate after every so many steps", () => {
    const rate = stepDecay(1, { every: 30, factor: 0.5 });
    expect([0, 29, 30, 60].map((step) => rate(step, 90))).toEqual([1, 1, 0.5, 0.25]);
  });

  test("impossible settings are an error that names them", () => {
    expect(() => cosine(1, { minimum: 2 })).toThrow("cosine: need 0 ≤ minimum ≤ peak");
    expect(() => stepDecay(1, { every: 0 })).toThrow("stepDecay: need every ≥ 1");
  });
});
