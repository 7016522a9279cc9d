import { parseConfigWith } from "@moebius/runtime/io";
import { z } from "zod";

const COUNT = "must be a whole number of at least 1";
const count = z.int(COUNT).min(1, COUNT);
const positive = z.number("must be a number above 0").positive("must be a number above 0");
const flag = z.boolean("must be true or false");

const schema = z
  .object(
    {
      model_type: z.literal("time_moe", 'must be "time_moe"').default("time_moe"),
      input_size: z.literal(1, "must be 1: each column is a series of its own").default(1),
      hidden_size: count,
      intermediate_size: count,
      num_hidden_layers: count,
      num_attention_heads: count,
      num_key_value_heads: count.nullish(),
      hidden_act: z.literal("silu", 'must be "silu"').default("silu"),
      num_experts_per_tok: count.default(2),
      num_experts: count.default(1),
      horizon_lengths: z
        .preprocess(
          (lengths: number | readonly number[]) => (typeof lengths === "number" ? [lengths] : lengths),
          z.array(count, "must be a list of whole numbers").min(1, "must have at least one length"),
        )
        .default([1]),
      max_position_embeddings: count.default(32_768),
      initializer_range: positive.default(0.02),
      rms_norm_eps: positive.default(1e-6),
      rope_theta: positive.default(10_000),
      use_dense: flag.default(false),
      attention_dropout: z.literal(0, "must be 0: dropout is not supported").default(0),
      apply_aux_loss: flag.default(true),
      router_aux_loss_factor: z.number("must be a number").min(0, "must be at least 0").default(0.02),
      tie_word_embeddings: z.literal(false, "must be false: the heads have weights of their own").default(false),
    },
    "must be an object",
  )
  .loose() // published files hold more, such as transformers_version
  .check(({ value, issues }) => {
    if (issues.length > 0) return; // keys that are wrong on their own say enough
    const expect = (isRight: boolean, key: keyof typeof value & string, message: string) => {
      if (!isRight) issues.push({ code: "custom", input: value[key], path: [key], message });
    };
    const { hidden_size, num_attention_heads, num_experts, num_experts_per_tok, horizon_lengths } = value;
    expect(
      hidden_size % (2 * num_attention_heads) === 0,
      "num_attention_heads",
      `must divide hidden_size ${hidden_size} into heads of even size`,
    );
    expect(
      num_attention_heads % (value.num_key_value_heads ?? num_attention_heads) === 0,
      "num_key_value_heads",
      `must divide num_attention_heads ${num_attention_heads}`,
    );
    if (!value.use_dense) {
      expect(
        num_experts_per_tok <= num_experts,
        "num_experts_per_tok",
        `must be at most num_experts, which is ${num_experts}`,
      );
      expect(
        num_experts_per_tok <= value.intermediate_size,
        "intermediate_size",
        `must be at least num_experts_per_tok ${num_experts_per_tok}: an expert has that share of it`,
      );
    }
    expect(
      horizon_lengths.every((length, i) => length > (horizon_lengths[i - 1] ?? 0)),
      "horizon_lengths",
      "must ascend, since a forecast takes the largest that fits",
    );
  })
  .transform((config) => ({
    ...config,
    num_key_value_heads: config.num_key_value_heads ?? config.num_attention_heads,
  }));

/** The keys of a published config.json; absent ones have the reference's defaults. */
export type TimeMoeConfig = z.output<typeof schema>;
export type TimeMoeConfigInput = z.input<typeof schema>;

/** @throws {ConfigError} that names each offending key, what was expected and what came */
export function parseConfig(config: unknown, source = "config.json"): TimeMoeConfig {
  return parseConfigWith(schema, config, source);
}

const published = (hidden_size: number, num_hidden_layers: number, num_attention_heads: number) =>
  ({
    hidden_size,
    intermediate_size: 4 * hidden_size,
    num_hidden_layers,
    num_attention_heads,
    num_experts: 8,
    num_experts_per_tok: 2,
    horizon_lengths: [1, 8, 32, 64],
    max_position_embeddings: 4096,
  }) satisfies TimeMoeConfigInput;

/** The published sizes (arXiv:2409.16040, table 1): see countParameters. */
export const TIME_MOE_CONFIGS = {
  "TimeMoE-50M": published(384, 12, 12),
  "TimeMoE-200M": published(768, 12, 12),
  "TimeMoE-ultra": published(1024, 36, 16),
} as const;
