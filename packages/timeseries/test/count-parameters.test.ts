import { countParameters, TIME_MOE_CONFIGS } from "@moebius/timeseries";
import { describe, expect, test } from "vitest";
import { TINY, tinyModel } from "./tiny-model.ts";

describe("countParameters", () => {
  // Total and active parameters of the published models, in millions.
  test.for([
    ["TimeMoE-50M", 113.4, 49.7],
    ["TimeMoE-200M", 453.2, 198.4],
    ["TimeMoE-ultra", 2417, 1058],
  ] as const)("%s has %d M, of which %d M are active", ([name, total, active]) => {
    const count = countParameters(TIME_MOE_CONFIGS[name]);
    expect(Math.abs(count.total / 1e6 - total)).toBeLessThan(name === "TimeMoE-ultra" ? 0.5 : 0.05);
    expect(Math.abs(count.active / 1e6 - active)).toBeLessThan(name === "TimeMoE-ultra" ? 0.5 : 0.05);
  });

  test.for([
    {},
    { use_dense: true },
    { num_attention_heads: 4, num_key_value_heads: 2 },
    { num_experts_per_tok: 3, intermediate_size: 20 },
  ])("it agrees with the model made from %j", async (change) => {
    using model = await tinyModel(change);
    expect(countParameters({ ...TINY, ...change }).total).toBe(model.numParameters);
  });

  test("all parameters of a dense model are active", () => {
    const { total, active } = countParameters({ ...TINY, use_dense: true });
    expect(active).toBe(total);
  });
});
