import { denormalise, normalisationOf, normalise } from "@moebius/timeseries";
import { describe, expect, test } from "vitest";

describe("normalisationOf", () => {
  test("mean and deviation, unbiased or of the population", () => {
    // Squares of −2, −1, 0, 1, 2 sum to 10.
    expect(normalisationOf([1, 2, 3, 4, 5], 1)).toEqual({ mean: 3, standardDeviation: Math.sqrt(2.5) });
    expect(normalisationOf([1, 2, 3, 4, 5], 0)).toEqual({ mean: 3, standardDeviation: Math.sqrt(2) });
  });

  test("what is not finite is left out", () => {
    expect(normalisationOf([Number.NaN, 1, Number.POSITIVE_INFINITY, 3], 0)).toEqual({ mean: 2, standardDeviation: 1 });
  });

  test.for([
    { values: [] },
    { values: [7] },
    { values: [7, 7, 7] },
    { values: [0, 0] },
    { values: [0.3, 0.1 + 0.2, 0.3] }, // differ by rounding alone
    { values: [1e20, 1e20] },
  ])("$values has no spread", ({ values }) => {
    expect(normalisationOf(values, 1).standardDeviation).toBe(0);
  });

  test.for([1e-300, 1e-13, 1e-3, 1e9, 1e300])("values of size %d keep their spread", (size) => {
    const { mean, standardDeviation } = normalisationOf([1 * size, 2 * size, 3 * size], 1);
    expect(mean / size).toBeCloseTo(2, 12);
    expect(standardDeviation / size).toBeCloseTo(1, 12);
  });

  test("small changes on a large level survive", () => {
    const { mean, standardDeviation } = normalisationOf([1e9, 1e9 + 1, 1e9 + 2], 1);
    expect([mean, standardDeviation]).toEqual([1e9 + 1, 1]);
  });
});

describe("normalise", () => {
  test("denormalise undoes it", () => {
    const values = [3, -1, 4, 1, -5];
    const normalisation = normalisationOf(values, 1);
    const back = denormalise(normalise(values, normalisation), normalisation);
    for (const [i, value] of values.entries()) expect(back[i]).toBeCloseTo(value, 5);
  });

  test("a constant series is only centred", () => {
    expect([...normalise([7, 7], normalisationOf([7, 7], 1))]).toEqual([0, 0]);
  });
});
