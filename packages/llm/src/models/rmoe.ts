import type { Device } from "@moebius/runtime/device";
import { expertPerTensor, parseConfigWith } from "@moebius/runtime/io";
import {
  balanceLoss,
  GruCell,
  MoeLayer,
  RecurrentRouter,
  type RecurrentState,
  RnnCell,
  type RouterCell,
  SwigluExperts,
  TopKRouter,
} from "@moebius/runtime/moe";
import { Module, normal, type Parameter, SwigluFeedForward, zeros } from "@moebius/runtime/nn";
import { add, scale } from "@moebius/runtime/ops";
import type { Tensor } from "@moebius/runtime/tensor";
import { z } from "zod";
import { MoeDecoder } from "../decoder.ts";
import type { FeedForwardContext, FeedForwardOutput } from "../decoder-layer.ts";
import { attentionFields, coefficient, count, decoderFields, flag } from "./fields.ts";
import { llamaDecoder } from "./llama-decoder.ts";

type F32 = Tensor<"f32">;

const schema = z
  .object(
    {
      ...decoderFields,
      ...attentionFields,
      model_type: z.literal("llama_moe_rnn", 'must be "llama_moe_rnn"').default("llama_moe_rnn"),
      intermediate_size: count,
      moe_expert_intermediate_size: count.nullish(),
      moe_num_layers: count.nullish(),
      num_local_experts: count.default(8),
      num_experts_per_tok: count.default(2),
      moe_router_type: z.string().default("gru"),
      moe_router_rnn_hidden_size: count.default(256),
      add_moe_bias: flag.default(false),
      add_moe_share_expert: flag.default(false),
      moe_share_expert_intermediate_size: count.nullish(),
      moe_weight: z.number().default(0.5),
      share_weight: z.number().default(0.5),
      router_aux_loss_coef: coefficient.default(0.001),
    },
    "must be an object",
  )
  .loose()
  .refine((config) => (config.moe_num_layers ?? config.num_hidden_layers) === config.num_hidden_layers, {
    path: ["moe_num_layers"],
    message: "must be num_hidden_layers: the release does not run with dense layers",
  });

type RmoeConfig = z.output<typeof schema>;

const CELLS = { gru: GruCell, rnn: RnnCell };

/** Routed experts, a bias that every token gets once, and a dense block beside them. */
class RmoeBlock extends Module {
  readonly moe: MoeLayer<RecurrentState> | MoeLayer;
  readonly bias: Parameter | undefined;
  readonly share: SwigluFeedForward | undefined;
  readonly #weights: { routed: number; share: number };

  constructor(device: Device, config: RmoeConfig, cell: RouterCell | undefined) {
    super(device);
    const {
      hidden_size: hiddenSize,
      intermediate_size,
      num_local_experts: numExperts,
      num_experts_per_tok: topK,
    } = config;
    const initializer = normal(config.initializer_range);
    const intermediateSize = config.moe_expert_intermediate_size ?? intermediate_size;
    const sizes = { hiddenSize, numExperts, topK, initializer };
    const experts = new SwigluExperts(device, { hiddenSize, numExperts, intermediateSize, initializer });
    this.moe = this.child(
      "block_sparse_moe",
      cell
        ? new MoeLayer(device, {
            router: new RecurrentRouter(device, { ...sizes, cell }),
            experts,
            names: { router: "" },
          })
        : new MoeLayer(device, { router: new TopKRouter(device, { ...sizes, normalizeTopK: true }), experts }),
    );
    this.bias = config.add_moe_bias ? this.parameter("block_sparse_moe.bias", [hiddenSize], zeros) : undefined;
    const shareSize = config.moe_share_expert_intermediate_size ?? intermediate_size;
    this.share = config.add_moe_share_expert
      ? this.child("mlp_share", new SwigluFeedForward(device, { hiddenSize, intermediateSize: shareSize, initializer }))
      : undefined;
    this.#weights = { routed: config.moe_weight, share: config.share_weight };
  }

  forward(x: F32, { state, mask }: FeedForwardContext): FeedForwardOutput {
    const moe = this.moe as MoeLayer<RecurrentState>;
    const { y, routing } = moe.forward(x, { state: state as RecurrentState | undefined, mask });
    const routed = this.bias ? add(y, this.bias) : y;
    if (!this.share) return { y: routed, routing };
    const { routed: ours, share } = this.#weights;
    return { y: add(scale(routed, ours), scale(this.share.forward(x), share)), routed, routing };
  }
}

/**
 * RMoE: one recurrent cell runs along depth and feeds the routers. Any moe_router_type but gru and rnn is a plain linear gate.
 * @throws {ConfigError} naming the key that is wrong
 * @see Qiu et al. 2024, arXiv:2408.06793
 */
export function rmoeDecoder(device: Device, published: unknown, source = "config.json"): MoeDecoder {
  const config = parseConfigWith(schema, published, source);
  const Cell = Object.hasOwn(CELLS, config.moe_router_type)
    ? CELLS[config.moe_router_type as keyof typeof CELLS]
    : undefined;
  const cell = Cell && new Cell(device, config.moe_router_rnn_hidden_size);
  return new MoeDecoder(device, {
    ...llamaDecoder(device, config, {
      feedForward: () => new RmoeBlock(device, config, cell),
      names: { feedForward: "" },
    }),
    ...(cell ? { shared: { "model.rnn_router": cell } } : {}),
    layout: expertPerTensor({ gate_proj: "w1", up_proj: "w3", down_proj: "w2" }),
    auxLoss: (routings, { mask }) => scale(balanceLoss(routings, { mask }), config.router_aux_loss_coef),
  });
}
