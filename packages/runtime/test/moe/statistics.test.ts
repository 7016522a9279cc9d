import { testDevice } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { routingStatistics, sparseRouting } from "../../src/moe/index.ts";
import { tensor } from "../../src/tensor/index.ts";

const device = await testDevice();

/** Four tokens, two choices each among three experts; two rows an expert. */
function routing({ weight = 0.5, mask }: { weight?: number; mask?: number[] } = {}) {
  return sparseRouting({
    indices: tensor(device, Uint32Array.from([0, 1, 0, 1, 0, 2, 0, 1]), [4, 2]),
    weights: tensor(device, [0.5, 0.5, weight, 0.5, 0.5, 0.5, 0.5, 0.5], [4, 2]),
    probs: tensor(device, [1, 0, 0, 0.5, 0.5, 0, 1, 0, 0, 0.25, 0.25, 0.5], [4, 3]),
    logits: tensor(device, new Float32Array(12), [4, 3]),
    capacity: 2,
    mask: mask && tensor(device, mask),
  });
}

describe("routingStatistics", () => {
  test("counts choices, entropies and drops of each layer", async () => {
    const [first, second] = await routingStatistics([routing(), routing()]);
    expect(first).toEqual(second);
    expect(first?.tokensPerExpert).toEqual([4, 3, 1]);
    // Token entropies 0, ln 2, 0 and 2 · ¼ ln 4 + ½ ln 2 = 1.5 ln 2.
    expect(first?.routerEntropy).toBeCloseTo((2.5 * Math.LN2) / 4, 5);
    const shares = [4 / 8, 3 / 8, 1 / 8];
    expect(first?.loadEntropy).toBeCloseTo(-shares.reduce((h, p) => h + p * Math.log(p), 0) / Math.log(3), 6);
    expect(first?.dropRate).toBe(3 / 8); // 2 of 4 rows of expert 0 and 1 of 3 of expert 1 find no room
  });

  test("leaves padding out", async () => {
    const mask = [1, 1, 0, 0];
    const [only] = await routingStatistics([routing({ mask })], { mask: tensor(device, mask) });
    expect(only?.tokensPerExpert).toEqual([2, 2, 0]);
    expect(only?.routerEntropy).toBeCloseTo(Math.LN2 / 2, 5);
    expect(only?.dropRate).toBe(0);
  });

  test("a load of nothing, or of one expert alone, has an entropy of 1 or 0", async () => {
    const all = (expert: number, tokens: number) =>
      sparseRouting({
        indices: tensor(device, new Uint32Array(tokens).fill(expert), [tokens, 1]),
        weights: tensor(device, new Float32Array(tokens), [tokens, 1]),
        probs: tensor(device, new Float32Array(tokens * 4), [tokens, 4]),
        logits: tensor(device, new Float32Array(tokens * 4), [tokens, 4]),
      });
    const [none, one] = await routingStatistics([all(0, 0), all(2, 5)]);
    expect(none).toEqual({ tokensPerExpert: [0, 0, 0, 0], routerEntropy: 0, loadEntropy: 1, dropRate: 0 });
    expect(one?.loadEntropy).toBe(0);
  });

  test("weights that are not finite are an error that names the layer", async () => {
    const sick = routing({ weight: Number.NaN });
    await expect(routingStatistics([routing(), sick])).rejects.toThrow(
      "MoE layer 1: the router gave 1 weights that are not finite",
    );
    await expect(routingStatistics([sick], { names: ["model.layers.3.ffn_layer"] })).rejects.toThrow(
      "model.layers.3.ffn_layer: the router gave",
    );
  });
});
