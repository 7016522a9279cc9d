import type { RotaryTableOptions } from "@moebius/runtime/ops";
import { z } from "zod";

const COUNT = "must be a whole number of at least 1";
export const count = z.int(COUNT).min(1, COUNT);
export const positive = z.number("must be a number above 0").positive("must be a number above 0");
export const coefficient = z.number("must be a number").min(0, "must be at least 0");
export const flag = z.boolean("must be true or false");
export const silu = z.literal("silu", 'must be "silu"').default("silu");

/** Keys that every decoder has, with the defaults of Llama's config class where a family does not set its own. */
export const decoderFields = {
  vocab_size: count,
  hidden_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  rms_norm_eps: positive.default(1e-6),
  rope_theta: positive.default(10_000),
  max_position_embeddings: count.default(2048),
  initializer_range: positive.default(0.02),
  hidden_act: silu,
  attention_dropout: z.literal(0, "must be 0: dropout is not supported").default(0),
  tie_word_embeddings: flag.default(false),
  /** Its embedding gets no gradient. */
  pad_token_id: z.int("must be an id").nullish(),
};

/** Plain rotary positions alone. */
export const noRopeScaling = z.null("must be null: scaled rotary positions are not supported here").optional();

/** Who attends: Llama's attention. */
export const attentionFields = {
  num_key_value_heads: count.nullish(),
  attention_bias: z.literal(false, "must be false: biases are not supported").default(false),
  rope_scaling: noRopeScaling,
};

interface DecoderSizes {
  hidden_size: number;
  num_attention_heads: number;
  num_key_value_heads?: number | null | undefined;
  head_dim?: number | null | undefined;
  max_position_embeddings: number;
  rope_theta: number;
}

/** Sizes of Llama's attention. */
export function headsOf({ hidden_size, num_attention_heads: numHeads, num_key_value_heads, head_dim }: DecoderSizes) {
  return { numHeads, numKeyValueHeads: num_key_value_heads ?? numHeads, headDim: head_dim ?? hidden_size / numHeads };
}

export function rotaryOf(config: DecoderSizes): RotaryTableOptions {
  return { maxPositions: config.max_position_embeddings, dim: headsOf(config).headDim, theta: config.rope_theta };
}
