import { ConfigError } from "@moebius/runtime/device";
import { z } from "zod";

const positive = z.int().min(1);

const schema = z
  .object({
    model_type: z.literal("time_moe").default("time_moe"),
    input_size: z.literal(1, "only univariate models are supported: each column is a series of its own").default(1),
    hidden_size: positive,
    intermediate_size: positive,
    num_hidden_layers: positive,
    num_attention_heads: positive,
    num_key_value_heads: positive.optional(),
    hidden_act: z.literal("silu").default("silu"),
    num_experts_per_tok: positive.default(2),
    num_experts: positive.default(8),
    horizon_lengths: z.array(positive).min(1).default([1]),
    max_position_embeddings: positive.default(4096),
    initializer_range: z.number().positive().default(0.02),
    rms_norm_eps: z.number().positive().default(1e-6),
    rope_theta: z.number().positive().default(10_000),
    use_dense: z.boolean().default(false),
    attention_dropout: z.number().min(0).max(0, "attention dropout is not supported").default(0),
    apply_aux_loss: z.boolean().default(true),
    router_aux_loss_factor: z.number().min(0).default(0.02),
    tie_word_embeddings: z.literal(false).default(false),
  })
  .loose() // published files hold more, such as transformers_version
  .check(({ value, issues }) => {
    const fault = (path: string, message: string) =>
      issues.push({ code: "custom", input: value, path: [path], message });
    const keyValueHeads = value.num_key_value_heads ?? value.num_attention_heads;
    if (value.hidden_size % (2 * value.num_attention_heads) !== 0)
      fault(
        "num_attention_heads",
        `hidden_size ${value.hidden_size} must be an even multiple of it, got ${value.num_attention_heads}`,
      );
    if (value.num_attention_heads % keyValueHeads !== 0)
      fault(
        "num_key_value_heads",
        `must divide num_attention_heads ${value.num_attention_heads}, got ${keyValueHeads}`,
      );
    if (value.num_experts_per_tok > value.num_experts)
      fault(
        "num_experts_per_tok",
        `must be at most num_experts ${value.num_experts}, got ${value.num_experts_per_tok}`,
      );
    if (value.intermediate_size % value.num_experts_per_tok !== 0)
      fault(
        "intermediate_size",
        `must be a multiple of num_experts_per_tok ${value.num_experts_per_tok}: an expert has that share of it`,
      );
    if (value.horizon_lengths.some((length, i, all) => i > 0 && length <= (all[i - 1] ?? 0)))
      fault(
        "horizon_lengths",
        `must ascend, since a forecast takes the largest that fits; got ${value.horizon_lengths.join(", ")}`,
      );
  });

/** The keys of a published config.json; absent ones have the reference's defaults. */
export type TimeMoeConfig = z.output<typeof schema>;
export type TimeMoeConfigInput = z.input<typeof schema>;

/** @throws {ConfigError} that names each offending key, its value and what was expected */
export function parseConfig(config: unknown, source = "config.json"): TimeMoeConfig {
  const parsed = schema.safeParse(config);
  if (!parsed.success) throw new ConfigError(`${source}: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

const published = (
  hidden_size: number,
  num_hidden_layers: number,
  num_attention_heads: number,
): TimeMoeConfigInput => ({
  hidden_size,
  intermediate_size: 4 * hidden_size,
  num_hidden_layers,
  num_attention_heads,
  num_experts: 8,
  num_experts_per_tok: 2,
  horizon_lengths: [1, 8, 32, 64],
  max_position_embeddings: 4096,
});

/** The published sizes (arXiv:2409.16040, table 1): total and active parameters 113 M and 50 M, 453 M and 198 M, 2.4 B and 1.1 B. */
export const TIME_MOE_CONFIGS = {
  "TimeMoE-50M": published(384, 12, 12),
  "TimeMoE-200M": published(768, 12, 12),
  "TimeMoE-ultra": published(1024, 36, 16),
} as const;
