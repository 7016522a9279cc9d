import { testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { NONE, type SelectionRule, SwitchGate, selectTokens } from "../../../src/moe/index.ts";
import { RandomKey, scope, tensor } from "../../../src/tensor/index.ts";

const device = await testDevice();

/** One expert and one sequence. */
const select = (scores: number[], rule: SelectionRule) =>
  scope(() => ({ indices: selectTokens(tensor(device, scores, [1, scores.length, 1]), rule).indices.read() })).indices;

describe("selectTokens", () => {
  test.each<[string, number[], SelectionRule, number[]]>([
    ["the highest scores, by position", [0.1, 0.9, 0, 0.5, 0.7], { tokensPerExpert: 3 }, [1, 3, 4]],
    ["a tie goes to the lower position", [0.5, 0.2, 0.5, 0.5], { tokensPerExpert: 2 }, [0, 2]],
    ["too few positive scores fill up from the front", [0, 0, 0, 0.3, 0], { tokensPerExpert: 3 }, [0, 1, 3]],
    ["or leave slots empty", [0, 0, 0, 0.3, 0], { tokensPerExpert: 3, fill: false }, [3, NONE, NONE]],
    [
      "a rule of the length",
      [0.1, 0.2, 0.3, 0.4, 0.5],
      { tokensPerExpert: (length) => Math.floor(length / 2) },
      [3, 4],
    ],
    ["no token at all", [0.1, 0.2], { tokensPerExpert: 0 }, []],
    ["every token", [0.1, 0.3, 0.2], { tokensPerExpert: 3 }, [0, 1, 2]],
  ])("%s", async (_, scores, rule, expected) => {
    expect([...(await select(scores, rule))]).toEqual(expected);
  });

  test("`largest` is the number of positive scores of the fullest expert of any sequence", async () => {
    // [B=2, T=4, E=2]: positive scores are 1 and 3 in the first sequence, 3 and 0 in the second.
    const scores = [0, 1, 0, 0, 2, 1, 0, 1, /* second */ 1, 0, 0, 0, 1, 0, 1, 0];
    const { indices, used } = scope(() => {
      const selection = selectTokens(tensor(device, scores, [2, 4, 2]), { tokensPerExpert: "largest" });
      return { indices: selection.indices.read(), used: selection.used.read() };
    });
    expect([...(await used)]).toEqual([3]);
    const rows = Array.from(await indices);
    expect([0, 1, 2, 3].map((row) => rows.slice(4 * row, 4 * row + 4))).toEqual([
      [0, 1, 2, NONE], // expert 0, first sequence: 2 chose it, 0 and 1 fill up
      [0, 2, 3, NONE],
      [0, 2, 3, NONE], // expert 1, first sequence
      [0, 1, 2, NONE],
    ]);
  });

  test("a count above the length is an error", () => {
    expect(() => scope(() => select([1, 2], { tokensPerExpert: 3 }))).toThrow(
      "selectTokens: tokensPerExpert is 3, expected a count up to the 2 tokens of a sequence",
    );
  });
});

describe("SwitchGate", () => {
  const [B, T, H, E, topK] = [3, 5, 6, 4, 2];
  const run = async (capacityFactor: number) => {
    using gate = new SwitchGate(device, { hiddenSize: H, numExperts: E, topK, capacityFactor }).initialize(
      new RandomKey(2),
    );
    const { scores, kept } = scope(() => {
      const out = gate.forward(tensor(device, Float32Array.from(uniformArray(B * T * H, 1)), [B, T, H]));
      return { scores: out.scores.read(), kept: out.kept.read() };
    });
    return { scores: await scores, kept: await kept };
  };

  test("scores of a position and expert add up to floor(capacityFactor · B) over the batch, where any was kept", async () => {
    const { scores, kept } = await run(0.7); // floor(0.7 · 3) = 2
    for (let i = 0; i < T * E; i++) {
      const column = (values: Float32Array) => [0, 1, 2].map((b) => values[b * T * E + i] as number);
      const total = column(scores).reduce((a, b) => a + b, 0);
      expect(total).toBeCloseTo(column(kept).some((value) => value > 0) ? 2 : 0, 5);
    }
  });

  test("each token keeps K probabilities", async () => {
    const { kept } = await run(1);
    for (let n = 0; n < B * T; n++)
      expect(kept.slice(n * E, (n + 1) * E).filter((value) => value > 0)).toHaveLength(topK);
  });

  test("a capacity below one sequence leaves no score", async () => {
    const { scores } = await run(0.3);
    expect(scores).toEqual(new Float32Array(B * T * E));
  });

  test("topK out of range is an error", () => {
    expect(() => new SwitchGate(device, { hiddenSize: 6, numExperts: 4, topK: 5 })).toThrow(
      "SwitchGate: need 1 ≤ topK ≤ numExperts and capacityFactor ≥ 0, got topK=5, numExperts=4, capacityFactor=1",
    );
  });
});
