import type { Device } from "@moebius/runtime/device";
import { expertPerTensor, parseConfigWith } from "@moebius/runtime/io";
import { GroupLimitedRouter } from "@moebius/runtime/moe";
import { LatentAttention, normal } from "@moebius/runtime/nn";
import { type YarnScaling, yarnMagnitude } from "@moebius/runtime/ops";
import { z } from "zod";
import { MoeDecoder } from "../decoder.ts";
import { DecoderLayer, type FeedForward } from "../decoder-layer.ts";
import { deepseekBlock } from "./deepseek-block.ts";
import { count, decoderFields, flag, positive } from "./fields.ts";

const yarn = z
  .object({
    type: z.string().optional(),
    rope_type: z.string().optional(),
    factor: positive,
    original_max_position_embeddings: count,
    beta_fast: positive.default(32),
    beta_slow: positive.default(1),
    mscale: positive.optional(),
    mscale_all_dim: z.number("must be a number").optional(),
    attention_factor: positive.optional(),
    truncate: flag.default(true),
  })
  .loose()
  .refine(
    ({ type, rope_type }) => (rope_type ?? type) === "yarn",
    'must have the type "yarn"; others are not supported',
  );

const schema = z
  .object(
    {
      ...decoderFields,
      model_type: z.enum(["deepseek_v2", "deepseek_v3"], 'must be "deepseek_v2" or "deepseek_v3"'),
      intermediate_size: count,
      moe_intermediate_size: count,
      n_routed_experts: count,
      n_shared_experts: count.nullish(),
      num_experts_per_tok: count,
      first_k_dense_replace: z.int("must be a count").min(0, "must be a count").default(0),
      topk_method: z.enum(["greedy", "group_limited_greedy", "noaux_tc"], "is not known").nullish(),
      n_group: count.nullish(),
      topk_group: count.nullish(),
      norm_topk_prob: flag.default(false),
      routed_scaling_factor: positive.default(1),
      q_lora_rank: count.nullish(),
      kv_lora_rank: count,
      qk_nope_head_dim: count,
      qk_rope_head_dim: count,
      v_head_dim: count,
      rope_interleave: flag.default(true),
      rope_scaling: yarn.nullish(),
      attention_bias: flag.default(false),
    },
    "must be an object",
  )
  .loose();

export type DeepseekV3Config = z.output<typeof schema>;

/**
 * DeepSeek-V2 and V3: latent attention, experts chosen within groups, by softmax (V2) or by sigmoid with a correction bias (V3).
 * @throws {ConfigError} naming the key that is wrong
 * @see DeepSeek-AI 2024, arXiv:2405.04434 and arXiv:2412.19437
 */
export function deepseekV3Decoder(device: Device, published: unknown, source = "config.json"): MoeDecoder {
  const config = parseConfigWith(schema, published, source);
  const { hidden_size: hiddenSize, rms_norm_eps: normEpsilon, num_attention_heads: numHeads } = config;
  const initializer = normal(config.initializer_range);
  const headDim = config.qk_nope_head_dim + config.qk_rope_head_dim;
  const scaling = yarnOf(config);
  const layer = (index: number) =>
    new DecoderLayer(device, {
      hiddenSize,
      normEpsilon,
      attention: new LatentAttention(device, {
        hiddenSize,
        numHeads,
        queryRank: config.q_lora_rank ?? undefined,
        keyValueRank: config.kv_lora_rank,
        plainHeadDim: config.qk_nope_head_dim,
        rotaryHeadDim: config.qk_rope_head_dim,
        valueHeadDim: config.v_head_dim,
        bias: config.attention_bias,
        interleaved: config.rope_interleave,
        scale: attentionScale(config, headDim),
        initializer,
      }),
      feedForward: feedForwardOf(device, config, index),
    });
  return new MoeDecoder(device, {
    vocabSize: config.vocab_size,
    hiddenSize,
    normEpsilon,
    tieWordEmbeddings: config.tie_word_embeddings,
    paddingIndex: config.pad_token_id ?? undefined,
    initializer,
    rotary: {
      maxPositions: config.max_position_embeddings,
      dim: config.qk_rope_head_dim,
      theta: config.rope_theta,
      yarn: scaling,
    },
    cache: { numKeyValueHeads: numHeads, headDim },
    layers: Array.from({ length: config.num_hidden_layers }, (_, index) => layer(index)),
    layout: expertPerTensor(),
  });
}

function feedForwardOf(device: Device, config: DeepseekV3Config, layer: number): FeedForward {
  if (layer < config.first_k_dense_replace) return deepseekBlock(device, config, undefined);
  const isV3 = config.model_type === "deepseek_v3";
  const hasGroups = isV3 || config.topk_method === "group_limited_greedy";
  const router = new GroupLimitedRouter(device, {
    hiddenSize: config.hidden_size,
    numExperts: config.n_routed_experts,
    topK: config.num_experts_per_tok,
    scoring: isV3 ? "sigmoid" : "softmax",
    groupScore: isV3 ? "top-2-sum" : "max",
    correctionBias: isV3,
    numGroups: (hasGroups ? config.n_group : undefined) ?? 1,
    topKGroups: (hasGroups ? config.topk_group : undefined) ?? 1,
    normalizeTopK: isV3 && config.norm_topk_prob, // V2's class ignores it
    routedScalingFactor: config.routed_scaling_factor,
  });
  return deepseekBlock(device, config, router);
}

function yarnOf({ rope_scaling: scaling }: DeepseekV3Config): YarnScaling | undefined {
  if (!scaling) return undefined;
  const { factor, mscale, mscale_all_dim: all } = scaling;
  const fromScales = mscale && all ? yarnMagnitude(factor, mscale) / yarnMagnitude(factor, all) : yarnMagnitude(factor);
  return {
    factor,
    originalPositions: scaling.original_max_position_embeddings,
    betaFast: scaling.beta_fast,
    betaSlow: scaling.beta_slow,
    truncate: scaling.truncate,
    attentionFactor: scaling.attention_factor ?? fromScales,
  };
}

/** V3 sharpens its scores for the stretched context, V2's class does not. */
function attentionScale({ model_type, rope_scaling: scaling }: DeepseekV3Config, headDim: number): number {
  const magnitude =
    model_type === "deepseek_v3" && scaling?.mscale_all_dim ? yarnMagnitude(scaling.factor, scaling.mscale_all_dim) : 1;
  return magnitude ** 2 / Math.sqrt(headDim);
}
