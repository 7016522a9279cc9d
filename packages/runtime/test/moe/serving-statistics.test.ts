import { testDevice } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { NONE, servingStatistics, sparseRouting } from "../../src/moe/index.ts";
import { tensor } from "../../src/tensor/index.ts";

const device = await testDevice();

/** Five tokens, two choices each among four experts; expert 4 is one without a product. */
function routing(options: { capacity?: number; maxAssignments?: number; mask?: number[] }) {
  const probs = tensor(device, new Float32Array(20), [5, 4]);
  return sparseRouting({
    indices: tensor(device, Uint32Array.from([0, 1, 0, 1, 0, NONE, 2, 4, 1, 0]), [5, 2]),
    weights: tensor(device, new Float32Array(10), [5, 2]),
    probs,
    logits: probs,
    priority: "choice",
    ...options,
    mask: options.mask && tensor(device, options.mask),
  });
}

describe("servingStatistics", () => {
  test("counts drops by choice, tokens by the experts they got, and experts without a row", async () => {
    // Two rows an expert. First choices: 0 takes tokens 0 and 1 and drops 2; 2 takes 3; 1 takes 4. Second ones: 1 takes 0 and drops
    // 1; 0 drops 4.
    const expected = { dropRateByChoice: [1 / 5, 2 / 3], tokensByExpertsServed: [1, 3, 1], unusedExperts: [3] };
    expect(await servingStatistics([routing({ capacity: 2 })])).toEqual([expected]);
    expect(await servingStatistics([routing({ capacity: 2, maxAssignments: 10 })])).toEqual([expected]);
  });

  test("leaves padding out", async () => {
    const mask = [1, 0, 1, 0, 0];
    const [only] = await servingStatistics([routing({ capacity: 1, mask })], { mask: tensor(device, mask) });
    expect(only).toEqual({ dropRateByChoice: [0.5, 0], tokensByExpertsServed: [1, 0, 1], unusedExperts: [2, 3] });
  });

  test("no layer and no token are no error", async () => {
    const probs = tensor(device, new Float32Array(0), [0, 2]);
    const choices = {
      indices: tensor(device, new Uint32Array(0), [0, 1]),
      weights: tensor(device, new Float32Array(0), [0, 1]),
    };
    const none = sparseRouting({ ...choices, probs, logits: probs });
    expect(await servingStatistics([])).toEqual([]);
    expect(await servingStatistics([none])).toEqual([
      { dropRateByChoice: [], tokensByExpertsServed: [], unusedExperts: [0, 1] },
    ]);
  });
});
