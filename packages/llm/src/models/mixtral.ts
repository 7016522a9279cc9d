import type { Device } from "@moebius/runtime/device";
import { expertPerTensor, parseConfigWith } from "@moebius/runtime/io";
import { balanceLoss, MoeLayer, SwigluExperts, TopKRouter } from "@moebius/runtime/moe";
import { normal } from "@moebius/runtime/nn";
import { scale } from "@moebius/runtime/ops";
import { z } from "zod";
import { MoeDecoder } from "../decoder.ts";
import { attentionFields, coefficient, count, decoderFields } from "./fields.ts";
import { llamaDecoder } from "./llama-decoder.ts";

const schema = z
  .object(
    {
      ...decoderFields,
      ...attentionFields,
      model_type: z.literal("mixtral", 'must be "mixtral"').default("mixtral"),
      intermediate_size: count,
      num_local_experts: count.default(8),
      num_experts_per_tok: count.default(2),
      head_dim: count.nullish(),
      sliding_window: count.nullish(),
      rms_norm_eps: decoderFields.rms_norm_eps.default(1e-5),
      rope_theta: decoderFields.rope_theta.default(1e6),
      router_aux_loss_coef: coefficient.default(0.001),
      router_jitter_noise: z.literal(0, "must be 0: jitter is not supported").default(0),
    },
    "must be an object",
  )
  .loose();

/**
 * Mixtral: two of eight experts in every layer, weighed by the softmax over the two.
 * @throws {ConfigError} naming the key that is wrong
 * @see Jiang et al. 2024, arXiv:2401.04088
 */
export function mixtralDecoder(device: Device, published: unknown, source = "config.json"): MoeDecoder {
  const config = parseConfigWith(schema, published, source);
  const { hidden_size: hiddenSize, intermediate_size: intermediateSize, num_local_experts: numExperts } = config;
  const initializer = normal(config.initializer_range);
  const feedForward = () =>
    new MoeLayer(device, {
      router: new TopKRouter(device, {
        hiddenSize,
        numExperts,
        topK: config.num_experts_per_tok,
        normalizeTopK: true,
        initializer,
      }),
      experts: new SwigluExperts(device, { hiddenSize, numExperts, intermediateSize, initializer }),
    });
  return new MoeDecoder(device, {
    ...llamaDecoder(device, config, {
      feedForward,
      attention: () => ({ slidingWindow: config.sliding_window ?? undefined }),
      names: { feedForward: "block_sparse_moe" },
    }),
    layout: expertPerTensor({ gate_proj: "w1", up_proj: "w3", down_proj: "w2" }),
    auxLoss: (routings, { mask }) => scale(balanceLoss(routings, { mask }), config.router_aux_loss_coef),
  });
}
