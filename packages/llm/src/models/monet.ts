import type { Device } from "@moebius/runtime/device";
import { parseConfigWith } from "@moebius/runtime/io";
import {
  HorizontalExperts,
  type MonetExperts,
  MonetRouter,
  type ProductRouting,
  VerticalExperts,
} from "@moebius/runtime/moe";
import { Module, normal } from "@moebius/runtime/nn";
import { reshape } from "@moebius/runtime/ops";
import type { Tensor } from "@moebius/runtime/tensor";
import { z } from "zod";
import { MoeDecoder } from "../decoder.ts";
import type { FeedForwardContext, FeedForwardOutput } from "../decoder-layer.ts";
import { attentionFields, count, decoderFields } from "./fields.ts";
import { llamaDecoder } from "./llama-decoder.ts";

const schema = z
  .object(
    {
      ...decoderFields,
      ...attentionFields,
      model_type: z.literal("monet", 'must be "monet"').default("monet"),
      vocab_size: count.default(32_000),
      hidden_act: z.enum(["relu2", "gelu"], 'must be "relu2" or "gelu"').default("relu2"),
      moe_experts: count.default(512),
      moe_heads: count.default(8),
      moe_dim: count.default(8),
      moe_topk: count.default(32),
      moe_groups: count.default(4),
      moe_decompose: z.enum(["vertical", "horizontal"], 'must be "vertical" or "horizontal"').default("vertical"),
    },
    "must be an object",
  )
  .loose();

type MonetConfig = z.output<typeof schema>;

/** Experts, and in every moe_groups-th layer a router, whose gates the layers up to the next one share. */
class MonetBlock extends Module {
  readonly experts: MonetExperts;
  readonly router: MonetRouter | undefined;

  constructor(device: Device, config: MonetConfig, layer: number) {
    super(device);
    const { hidden_size: hiddenSize, moe_experts: keysPerAxis } = config;
    const initializer = normal(config.initializer_range);
    const Experts = config.moe_decompose === "vertical" ? VerticalExperts : HorizontalExperts;
    const sizes = { hiddenSize, keysPerAxis, expertSize: config.moe_dim, activation: config.hidden_act, initializer };
    this.experts = this.child("moe", new Experts(device, sizes));
    if (layer % config.moe_groups !== 0) return;
    const routing = { hiddenSize, keysPerAxis, numHeads: config.moe_heads, topK: config.moe_topk, initializer };
    this.router = this.child("router", new MonetRouter(device, routing));
    this.router.setTrainable(false); // as the released models were fine-tuned
  }

  forward(x: Tensor<"f32">, { state, training }: FeedForwardContext = {}): FeedForwardOutput {
    const tokens = reshape(x, [-1, x.axis(-1)]);
    const own = this.router?.route(tokens, { training });
    const product = own ?? (state as ProductRouting); // layer 0 always has one
    const y = reshape(this.experts.forward(tokens, product), x.shape);
    return { y, state: product, ...(own ? { product: own } : {}) };
  }
}

/**
 * Monet: in the place of a feed-forward block M² experts, products of two axes of keys.
 * @throws {ConfigError} naming the key that is wrong
 * @see Park et al. 2024, arXiv:2412.04139
 */
export function monetDecoder(device: Device, published: unknown, source = "config.json"): MoeDecoder {
  const config = parseConfigWith(schema, published, source);
  return new MoeDecoder(device, {
    ...llamaDecoder(device, config, {
      feedForward: (layer) => new MonetBlock(device, config, layer),
      names: { feedForward: "" },
    }),
    layout: (name, shape) => [{ name, shape, isInteger: name.endsWith("num_batches_tracked") }],
  });
}
