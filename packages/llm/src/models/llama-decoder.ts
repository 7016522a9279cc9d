import type { Device } from "@moebius/runtime/device";
import { normal, SelfAttention, type SelfAttentionOptions } from "@moebius/runtime/nn";
import type { DecoderOptions } from "../decoder.ts";
import { DecoderLayer, type FeedForward } from "../decoder-layer.ts";
import { headsOf, rotaryOf } from "./fields.ts";

interface LlamaConfig {
  vocab_size: number;
  hidden_size: number;
  num_hidden_layers: number;
  num_attention_heads: number;
  num_key_value_heads?: number | null | undefined;
  head_dim?: number | null | undefined;
  max_position_embeddings: number;
  rope_theta: number;
  rms_norm_eps: number;
  initializer_range: number;
  tie_word_embeddings: boolean;
  pad_token_id?: number | null | undefined;
}

interface LlamaLayers {
  /** The feed-forward block of a layer. */
  feedForward: (layer: number) => FeedForward;
  /** What the family's attention has beyond Llama's. */
  attention?: (layer: number) => Partial<SelfAttentionOptions>;
  names?: { inputNorm?: string; postAttentionNorm?: string; feedForward?: string };
}

/** The parts that families built on Llama share: its attention, norms and positions, around feed-forward blocks of their own. */
export function llamaDecoder(
  device: Device,
  config: LlamaConfig,
  { feedForward, attention, names }: LlamaLayers,
): Omit<DecoderOptions, "layout"> {
  const { hidden_size: hiddenSize, rms_norm_eps: normEpsilon } = config;
  const initializer = normal(config.initializer_range);
  const { numHeads, numKeyValueHeads, headDim } = headsOf(config);
  const layer = (index: number) =>
    new DecoderLayer(device, {
      hiddenSize,
      normEpsilon,
      attention: new SelfAttention(device, {
        hiddenSize,
        numHeads,
        numKeyValueHeads,
        headDim,
        initializer,
        ...attention?.(index),
      }),
      feedForward: feedForward(index),
      ...(names ? { names } : {}),
    });
  return {
    vocabSize: config.vocab_size,
    hiddenSize,
    normEpsilon,
    tieWordEmbeddings: config.tie_word_embeddings,
    paddingIndex: config.pad_token_id ?? undefined,
    initializer,
    rotary: rotaryOf(config),
    cache: { numKeyValueHeads, headDim },
    layers: Array.from({ length: config.num_hidden_layers }, (_, index) => layer(index)),
  };
}
