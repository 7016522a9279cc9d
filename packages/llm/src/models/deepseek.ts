import type { Device } from "@moebius/runtime/device";
import { expertPerTensor, parseConfigWith } from "@moebius/runtime/io";
import { balanceLoss, GroupLimitedRouter, sequenceBalanceLoss } from "@moebius/runtime/moe";
import { add, scale } from "@moebius/runtime/ops";
import { z } from "zod";
import { MoeDecoder } from "../decoder.ts";
import { deepseekBlock } from "./deepseek-block.ts";
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
  const isDense = (layer: number) => layer < config.first_k_dense_replace || layer % config.moe_layer_freq !== 0;
  const router = () =>
    new GroupLimitedRouter(device, {
      hiddenSize: config.hidden_size,
      numExperts: config.n_routed_experts,
      topK: config.num_experts_per_tok,
      normalizeTopK: config.norm_topk_prob && config.num_experts_per_tok > 1,
    });
  const feedForward = (layer: number) => deepseekBlock(device, config, isDense(layer) ? undefined : router());
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
