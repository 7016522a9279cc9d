import { hasShared, sharedPath, testDevice } from "@moebius/testing";
import { expect, test } from "vitest";
import { runGolden } from "../../src/parity/parity.ts";
import { monetConfig } from "../../src/parity/systems/monet-model.ts";

test.skipIf(!hasShared).for(["monet-hd", "monet-vd", "union-of-experts-layers"])("%s", async (name) => {
  const { comparisons, untouched } = await runGolden(sharedPath(`goldens/${name}`), await testDevice());
  expect(comparisons.length).toBeGreaterThan(20);
  expect(comparisons.filter(({ passed }) => !passed)).toEqual([]);
  expect(untouched).toEqual([]);
});

test.each([
  [{ moe_topk: 0 }, '"moe_topk" is 0, expected a whole number of at least 1'],
  [{ hidden_act: "silu" }, '"hidden_act" is "silu", expected "relu2" or "gelu"'],
  [{ attention_bias: true }, '"attention_bias" is true, which is not supported'],
])("a Monet config with %o is refused", (wrong, message) => {
  const sizes = { hidden_size: 8, num_hidden_layers: 1, num_attention_heads: 2 };
  expect(monetConfig(sizes, "config.json").num_key_value_heads).toBe(2);
  expect(() => monetConfig({ ...sizes, ...wrong }, "config.json")).toThrow(`config.json: ${message}`);
});
