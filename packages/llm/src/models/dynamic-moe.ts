import type { Device } from "@moebius/runtime/device";
import { expertPerTensor, parseConfigWith } from "@moebius/runtime/io";
import { balanceLoss, entropyLoss, LOSS_COEFFICIENTS, MoeLayer, SwigluExperts, TopPRouter } from "@moebius/runtime/moe";
import { Module, normal, SwigluFeedForward } from "@moebius/runtime/nn";
import { add, scale } from "@moebius/runtime/ops";
import type { Tensor } from "@moebius/runtime/tensor";
import { z } from "zod";
import { MoeDecoder } from "../decoder.ts";
import type { FeedForward } from "../decoder-layer.ts";
import { count, decoderFields } from "./fields.ts";
import { llamaDecoder } from "./llama-decoder.ts";

const schema = z
  .object(
    {
      ...decoderFields,
      intermediate_size: count,
      num_experts: count,
      top_p_threshold: z
        .number("must be a number")
        .min(0, "must be at least 0")
        .max(1, "must be at most 1")
        .default(0.4),
      /** Every so many layers one is sparse, the first among them. */
      expert_frequency: count.default(1),
    },
    "must be an object",
  )
  .loose();

/** A dense layer's block, one name deeper than usual. */
class DenseBlock extends Module {
  readonly mlp: SwigluFeedForward;

  constructor(device: Device, mlp: SwigluFeedForward) {
    super(device);
    this.mlp = this.child("mlp", mlp);
  }

  forward(x: Tensor<"f32">): Tensor<"f32"> {
    return this.mlp.forward(x);
  }
}

/**
 * Dynamic MoE: top-p routing, so that a token takes as many experts as the router is unsure of. Its config.json says model_type "llama";
 * the key top_p_threshold tells it from Llama. Grouped heads and rope_theta are ignored, as its code does.
 * @throws {ConfigError} naming the key that is wrong
 * @see Huang et al. 2024, arXiv:2403.07652
 */
export function dynamicMoeDecoder(device: Device, published: unknown, source = "config.json"): MoeDecoder {
  const config = { ...parseConfigWith(schema, published, source), num_key_value_heads: null, rope_theta: 10_000 };
  const { hidden_size: hiddenSize, intermediate_size: intermediateSize, num_experts: numExperts } = config;
  const initializer = normal(config.initializer_range);
  const feedForward = (layer: number): FeedForward =>
    layer % config.expert_frequency === 0
      ? new MoeLayer(device, {
          router: new TopPRouter(device, { hiddenSize, numExperts, threshold: config.top_p_threshold, initializer }),
          experts: new SwigluExperts(device, { hiddenSize, numExperts, intermediateSize, initializer }),
          names: { router: "router" },
        })
      : new DenseBlock(device, new SwigluFeedForward(device, { hiddenSize, intermediateSize, initializer }));
  const names = { inputNorm: "input_norm", postAttentionNorm: "post_attention_norm" };
  return new MoeDecoder(device, {
    ...llamaDecoder(device, config, { feedForward, names }),
    layout: expertPerTensor(),
    ignore: /rotary_emb\.inv_freq$/,
    auxLoss: (routings, { mask }) =>
      add(
        scale(routings.map((routing) => balanceLoss([routing], { mask })).reduce(add), LOSS_COEFFICIENTS.balance),
        scale(entropyLoss(routings, { mask }), LOSS_COEFFICIENTS.entropy),
      ),
  });
}
