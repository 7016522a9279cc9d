import { hasShared, sharedPath, testDevice } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { runGolden } from "../../src/parity/parity.ts";

describe.skipIf(!hasShared)("gates, layers and language models of the reference implementations", () => {
  test.for([
    ["gates-gshard-top2", 76],
    ["gates-switch", 72],
    ["gates-vmoe-bpr", 59],
    ["gates-expert-choice", 41],
    ["gates-smoe-dropout", 42],
    ["adamoe-block", 34],
    ["gates-dts", 56],
    ["pre-gated-moe-blocks", 15],
    ["gates-comet", 207],
    ["gates-dselect-k", 56],
    ["momentum-smoe-layers-preln", 114],
    ["momentum-smoe-mom", 58],
    ["momentum-smoe-adam", 62],
    ["mixtral-base", 84],
    ["olmoe-base", 88],
    ["qwen2-moe-base", 98],
    ["qwen3-moe-base", 88],
    ["deepseek-moe-base", 104],
    ["deepseek-v2-lite", 103],
    ["deepseek-v3-base", 111],
    ["dynamic-moe-base", 86],
    ["moe-plus-plus-base", 91],
    ["rmoe-gru", 121],
  ] as const)("%s", async ([name, tensors]) => {
    const { comparisons, untouched } = await runGolden(sharedPath(`goldens/${name}`), await testDevice());
    expect(comparisons.filter(({ passed }) => !passed)).toEqual([]);
    expect(comparisons.length).toBe(tensors);
    expect(untouched).toEqual([]);
  });
});
