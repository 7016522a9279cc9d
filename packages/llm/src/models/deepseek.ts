import type { Device } from "@moebius/runtime/device";
import { expertPerTensor, parseConfigWith } from "@moebius/runtime/io";
import { balanceLoss, GroupLimitedRouter, MoeLayer, SwigluExperts, sequenceBalanceLoss } from "@moebius/runtime/moe";
import { normal, SwigluFeedForward } from "@moebius/runtime/nn";
import { add, scale } from "@moebius/runtime/ops";
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
      model_type: z.literal("deepseek", 'must be "deepseek"').default("deepseek"),
      intermediate_size: count,
      moe_intermediate_size: count,
      n_routed_experts: count,
      /** How many experts wide the one shared block is. */
      n_shared_experts: count.nullish(),
      num_experts_per_tok: count,
      first_k_dense_replace: z.int("must be a count").min(0, "must be a count").default(0),
      moe_layer_freq: count.default(1),
      norm_topk_prob: flag.default(false),
      scoring_func: z.literal("softmax", 'must be "softmax"').default("softmax"),
      aux_loss_alpha: coefficient.default(0.001),
      seq_aux: flag.default(true),
    },
    "must be an object",
  )
  .loose();

export type DeepseekConfig = z.output<typeof schema>;

/**
 * DeepSeekMoE (model_type "deepseek"): fine-grained experts and shared ones, first layers dense.
 * @throws {ConfigError} naming the key that is wrong
 * @see Dai et al. 2024, arXiv:2401.06066
 */
export function deepseekDecoder(device: Device, published: unknown, source = "config.json"): MoeDecoder {
  const config = parseConfigWith(schema, published, source);
  const { hidden_size: hiddenSize, moe_intermediate_size: expertSize, n_routed_experts: numExperts } = config;
  const initializer = normal(config.initializer_range);
  const dense = (intermediateSize: number) =>
    new SwigluFeedForward(device, { hiddenSize, intermediateSize, initializer });
  const feedForward = (layer: number): FeedForward =>
    layer < config.first_k_dense_replace || layer % config.moe_layer_freq !== 0
      ? dense(config.intermediate_size)
      : new MoeLayer(device, {
          router: new GroupLimitedRouter(device, {
            hiddenSize,
            numExperts,
            topK: config.num_experts_per_tok,
            normalizeTopK: config.norm_topk_prob && config.num_experts_per_tok > 1,
          }),
          experts: new SwigluExperts(device, { hiddenSize, numExperts, intermediateSize: expertSize, initializer }),
          ...(config.n_shared_experts ? { sharedExpert: dense(config.n_shared_experts * expertSize) } : {}),
          names: { sharedExpert: "shared_experts" },
        });
  return new MoeDecoder(device, {
    ...llamaDecoder(device, config, { feedForward }),
    layout: expertPerTensor(),
    auxLoss: (routings, { numSequences, mask }) => {
      const losses = routings.map((routing) =>
        config.seq_aux
          ? sequenceBalanceLoss(routing, numSequences, { mask })
          : balanceLoss([routing], { form: "switch", mask }),
      );
      return scale(losses.reduce(add), config.aux_loss_alpha);
    },
  });
}
