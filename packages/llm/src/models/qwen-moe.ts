import type { Device } from "@moebius/runtime/device";
import { expertPerTensor, parseConfigWith } from "@moebius/runtime/io";
import { balanceLoss, MoeLayer, SwigluExperts, TopKRouter } from "@moebius/runtime/moe";
import { Linear, normal, SwigluFeedForward } from "@moebius/runtime/nn";
import { scale } from "@moebius/runtime/ops";
import { z } from "zod";
import { MoeDecoder } from "../decoder.ts";
import type { FeedForward } from "../decoder-layer.ts";
import { attentionFields, coefficient, count, decoderFields, flag } from "./fields.ts";
import { llamaDecoder } from "./llama-decoder.ts";

const schema = z
  .object(
    {
      ...decoderFields,
      ...attentionFields,
      model_type: z.enum(["olmoe", "qwen2_moe", "qwen3_moe"], 'must be "olmoe", "qwen2_moe" or "qwen3_moe"'),
      attention_bias: flag.default(false),
      intermediate_size: count,
      moe_intermediate_size: count.optional(),
      shared_expert_intermediate_size: count.optional(),
      num_experts: count,
      num_experts_per_tok: count.default(8),
      norm_topk_prob: flag.default(false),
      head_dim: count.nullish(),
      qkv_bias: flag.default(true),
      clip_qkv: z.number("must be a number").positive("must be above 0").nullish(),
      decoder_sparse_step: count.default(1),
      mlp_only_layers: z.array(z.int()).default([]),
      use_sliding_window: z.literal(false, "must be false: it is not supported").default(false),
      router_aux_loss_coef: coefficient.default(0.001),
    },
    "must be an object",
  )
  .loose();

type Config = z.output<typeof schema>;

/**
 * OLMoE, Qwen2-MoE and Qwen3-MoE: the probabilities of the chosen experts weigh them as they are, or over their sum; Qwen2 has a shared
 * expert behind a gate; OLMoE and Qwen3 normalise queries and keys.
 * @throws {ConfigError} naming the key that is wrong
 * @see Muennighoff et al. 2024, arXiv:2409.02060; Yang et al. 2024, arXiv:2407.10671; Yang et al. 2025, arXiv:2505.09388
 */
export function qwenMoeDecoder(device: Device, published: unknown, source = "config.json"): MoeDecoder {
  const config = parseConfigWith(schema, published, source);
  return new MoeDecoder(device, {
    ...llamaDecoder(device, config, {
      feedForward: (layer) => blockOf(device, config, layer),
      attention: () => attentionOf(config),
    }),
    layout: expertPerTensor(),
    auxLoss: (routings, { mask }) => scale(balanceLoss(routings, { mask }), config.router_aux_loss_coef),
  });
}

function attentionOf({ model_type, attention_bias, qkv_bias, clip_qkv, rms_norm_eps: epsilon }: Config) {
  if (model_type === "qwen2_moe") return { queryKeyValueBias: qkv_bias };
  const over = model_type === "olmoe" ? ("projection" as const) : ("head" as const);
  return {
    queryKeyValueBias: attention_bias,
    outputBias: attention_bias,
    queryKeyNorm: { over, epsilon },
    clip: clip_qkv ?? undefined,
  };
}

function blockOf(device: Device, config: Config, layer: number): FeedForward {
  const { hidden_size: hiddenSize, num_experts: numExperts, num_experts_per_tok: topK } = config;
  const initializer = normal(config.initializer_range);
  const dense = (intermediateSize: number) =>
    new SwigluFeedForward(device, { hiddenSize, intermediateSize, initializer });
  if (config.mlp_only_layers.includes(layer) || (layer + 1) % config.decoder_sparse_step !== 0)
    return dense(config.intermediate_size);
  const { shared_expert_intermediate_size: sharedSize } = config;
  return new MoeLayer(device, {
    router: new TopKRouter(device, { hiddenSize, numExperts, topK, normalizeTopK: config.norm_topk_prob, initializer }),
    experts: new SwigluExperts(device, {
      hiddenSize,
      numExperts,
      intermediateSize: config.moe_intermediate_size ?? config.intermediate_size,
      initializer,
    }),
    ...(config.model_type === "qwen2_moe" && sharedSize
      ? {
          sharedExpert: dense(sharedSize),
          sharedExpertGate: new Linear(device, { inFeatures: hiddenSize, outFeatures: 1, initializer }),
        }
      : {}),
  });
}
