import { ConfigError } from "@moebius/runtime/device";
import { parseConfig } from "@moebius/timeseries";
import { describe, expect, test } from "vitest";
import { TINY } from "./tiny-model.ts";

const REQUIRED = { hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1, num_attention_heads: 4 };
const MINIMAL = { ...REQUIRED, num_experts: 2 };

describe("parseConfig", () => {
  test("absent keys have the reference's defaults", () => {
    expect(parseConfig({ ...REQUIRED, num_experts_per_tok: 1 })).toEqual({
      ...REQUIRED,
      model_type: "time_moe",
      input_size: 1,
      num_key_value_heads: 4,
      hidden_act: "silu",
      num_experts_per_tok: 1,
      num_experts: 1,
      horizon_lengths: [1],
      max_position_embeddings: 32768,
      initializer_range: 0.02,
      rms_norm_eps: 1e-6,
      rope_theta: 10000,
      use_dense: false,
      attention_dropout: 0,
      apply_aux_loss: true,
      router_aux_loss_factor: 0.02,
      tie_word_embeddings: false,
    });
  });

  test("one horizon may be a number, key/value heads null, and other keys stay", () => {
    const config = parseConfig({
      ...MINIMAL,
      horizon_lengths: 8,
      num_key_value_heads: null,
      transformers_version: "4.40.1",
    });
    expect(config).toMatchObject({
      horizon_lengths: [8],
      num_key_value_heads: 4,
      transformers_version: "4.40.1",
    });
  });

  test("a dense model needs no experts, and an expert's share of the intermediate size is rounded down", () => {
    expect(parseConfig({ ...REQUIRED, use_dense: true }).num_experts).toBe(1);
    expect(parseConfig({ ...TINY, intermediate_size: 17 }).intermediate_size).toBe(17);
  });

  test.for<[Record<string, unknown>, string]>([
    [{ hidden_size: undefined }, "hidden_size must be a whole number of at least 1, got nothing"],
    [{ hidden_size: 0 }, "hidden_size must be a whole number of at least 1, got 0"],
    [{ intermediate_size: "32" }, 'intermediate_size must be a whole number of at least 1, got "32"'],
    [{ num_hidden_layers: 1.5 }, "num_hidden_layers must be a whole number of at least 1, got 1.5"],
    [{ num_experts: -1 }, "num_experts must be a whole number of at least 1, got -1"],
    [{ model_type: "mixtral" }, 'model_type must be "time_moe", got "mixtral"'],
    [{ input_size: 2 }, "input_size must be 1: each column is a series of its own, got 2"],
    [{ hidden_act: "gelu" }, 'hidden_act must be "silu", got "gelu"'],
    [{ initializer_range: 0 }, "initializer_range must be a number above 0, got 0"],
    [{ rms_norm_eps: "1e-6" }, 'rms_norm_eps must be a number above 0, got "1e-6"'],
    [{ rope_theta: -1 }, "rope_theta must be a number above 0, got -1"],
    [{ use_dense: 1 }, "use_dense must be true or false, got 1"],
    [{ apply_aux_loss: "no" }, 'apply_aux_loss must be true or false, got "no"'],
    [{ attention_dropout: 0.1 }, "attention_dropout must be 0: dropout is not supported, got 0.1"],
    [{ router_aux_loss_factor: -0.1 }, "router_aux_loss_factor must be at least 0, got -0.1"],
    [{ router_aux_loss_factor: "x" }, 'router_aux_loss_factor must be a number, got "x"'],
    [{ tie_word_embeddings: true }, "tie_word_embeddings must be false: the heads have weights of their own, got true"],
    [{ horizon_lengths: [] }, "horizon_lengths must have at least one length, got []"],
    [{ horizon_lengths: "8" }, 'horizon_lengths must be a list of whole numbers, got "8"'],
    [{ horizon_lengths: [1, 0] }, "horizon_lengths[1] must be a whole number of at least 1, got 0"],
    [
      { horizon_lengths: [1, 8, 8] },
      "horizon_lengths must ascend, since a forecast takes the largest that fits, got [1,8,8]",
    ],
    [{ num_attention_heads: 3 }, "num_attention_heads must divide hidden_size 16 into heads of even size, got 3"],
    [{ num_attention_heads: 16 }, "num_attention_heads must divide hidden_size 16 into heads of even size, got 16"],
    [{ num_key_value_heads: 3 }, "num_key_value_heads must divide num_attention_heads 4, got 3"],
    [{ num_experts_per_tok: 3 }, "num_experts_per_tok must be at most num_experts, which is 2, got 3"],
    [
      { intermediate_size: 1 },
      "intermediate_size must be at least num_experts_per_tok 2: an expert has that share of it, got 1",
    ],
  ])("%j is refused", ([change, message]) => {
    const parse = () => parseConfig({ ...MINIMAL, ...change }, "folder/config.json");
    expect(parse).toThrow(ConfigError);
    expect(parse).toThrow(new ConfigError(`folder/config.json: ${message}`));
  });

  test("every fault is named", () => {
    expect(() => parseConfig({ ...MINIMAL, hidden_size: 0, hidden_act: "relu" })).toThrow(
      'config.json: hidden_size must be a whole number of at least 1, got 0; hidden_act must be "silu", got "relu"',
    );
  });

  test("what is no object is refused", () => {
    expect(() => parseConfig([1])).toThrow("config.json: must be an object, got [1]");
    expect(() => parseConfig(undefined)).toThrow("config.json: must be an object, got nothing");
  });
});
