import { ConfigError, type Device } from "@moebius/runtime/device";
import {
  HorizontalExperts,
  type MonetExperts,
  MonetRouter,
  type ProductRouting,
  VerticalExperts,
} from "@moebius/runtime/moe";
import { type AttentionContext, DecoderBlock, Embedding, Linear, Module, RmsNorm } from "@moebius/runtime/nn";
import { add, linear, reshape, rotaryTables } from "@moebius/runtime/ops";
import { keep, type Tensor } from "@moebius/runtime/tensor";

type F32 = Tensor<"f32">;

/** The keys of config.json that a Monet decoder reads. */
export interface MonetConfig {
  vocab_size: number;
  hidden_size: number;
  num_hidden_layers: number;
  num_attention_heads: number;
  num_key_value_heads: number;
  max_position_embeddings: number;
  rms_norm_eps: number;
  rope_theta: number;
  tie_word_embeddings: boolean;
  hidden_act: "relu2" | "gelu";
  moe_experts: number;
  moe_heads: number;
  moe_dim: number;
  moe_topk: number;
  moe_groups: number;
  moe_decompose: "vertical" | "horizontal";
}

const DEFAULTS = {
  vocab_size: 32_000,
  max_position_embeddings: 2048,
  rms_norm_eps: 1e-6,
  rope_theta: 10_000,
  tie_word_embeddings: false,
  hidden_act: "relu2",
  moe_experts: 512,
  moe_heads: 8,
  moe_dim: 8,
  moe_topk: 32,
  moe_groups: 4,
  moe_decompose: "vertical",
};

/** @throws {ConfigError} naming the key that is missing, or whose value is not supported */
export function monetConfig(published: Record<string, unknown>, where: string): MonetConfig {
  const values: Record<string, unknown> = { ...DEFAULTS, ...published };
  values.num_key_value_heads ??= values.num_attention_heads;
  const fail = (key: string, expected: string) => {
    throw new ConfigError(`${where}: "${key}" is ${JSON.stringify(values[key])}, ${expected}`);
  };
  const counts = ["hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "vocab_size"];
  for (const key of [
    ...counts,
    "max_position_embeddings",
    ...Object.keys(DEFAULTS).filter((k) => /^moe_(?!dec)/.test(k)),
  ])
    if (!(Number.isInteger(values[key]) && Number(values[key]) >= 1))
      fail(key, "expected a whole number of at least 1");
  if (!["relu2", "gelu"].includes(String(values.hidden_act))) fail("hidden_act", 'expected "relu2" or "gelu"');
  if (!["vertical", "horizontal"].includes(String(values.moe_decompose)))
    fail("moe_decompose", 'expected "vertical" or "horizontal"');
  if (values.attention_bias) fail("attention_bias", "which is not supported");
  if (values.rope_scaling) fail("rope_scaling", "which is not supported");
  return values as unknown as MonetConfig;
}

/** One layer's parts; every moe_groups-th layer has a router, whose gates the layers up to the next one share. */
export class MonetLayer extends Module {
  readonly block: DecoderBlock;
  readonly moe: MonetExperts;
  readonly router: MonetRouter | undefined;

  constructor(device: Device, config: MonetConfig, index: number) {
    super(device);
    const { hidden_size: hiddenSize, moe_experts: keysPerAxis } = config;
    this.block = new DecoderBlock(device, {
      hiddenSize,
      numHeads: config.num_attention_heads,
      numKeyValueHeads: config.num_key_value_heads,
      normEpsilon: config.rms_norm_eps,
    });
    this.child("input_layernorm", this.block.inputNorm);
    this.child("self_attn", this.block.attention);
    this.child("post_attention_layernorm", this.block.postAttentionNorm);
    const Experts = config.moe_decompose === "vertical" ? VerticalExperts : HorizontalExperts;
    const options = { hiddenSize, keysPerAxis, expertSize: config.moe_dim, activation: config.hidden_act };
    this.moe = this.child("moe", new Experts(device, options));
    if (index % config.moe_groups !== 0) return;
    const routing = { hiddenSize, keysPerAxis, numHeads: config.moe_heads, topK: config.moe_topk };
    this.router = this.child("router", new MonetRouter(device, routing));
    this.router.setTrainable(false);
  }
}

export interface MonetOutput {
  /** After the embedding, each layer, and the final norm. */
  hiddenStates: F32[];
  attentions: F32[];
  feedForwards: F32[];
  /** By the layers that own a router. */
  routings: Map<number, ProductRouting>;
  logits: F32;
}

/** A Llama decoder whose feed-forward layers are products of experts (Park et al. 2024, arXiv:2412.04139). */
export class MonetModel extends Module {
  readonly config: MonetConfig;
  readonly embedding: Embedding;
  readonly layers: MonetLayer[];
  readonly norm: RmsNorm;
  readonly head: Linear | undefined;
  readonly #rotary: Pick<AttentionContext, "cos" | "sin">;

  constructor(device: Device, config: MonetConfig) {
    super(device);
    this.config = config;
    const { hidden_size: hiddenSize, vocab_size: numEmbeddings, max_position_embeddings: maxPositions } = config;
    this.embedding = this.child("model.embed_tokens", new Embedding(device, { numEmbeddings, hiddenSize }));
    this.layers = this.children(
      "model.layers",
      Array.from({ length: config.num_hidden_layers }, (_, index) => new MonetLayer(device, config, index)),
    );
    this.norm = this.child("model.norm", new RmsNorm(device, hiddenSize, config.rms_norm_eps));
    if (!config.tie_word_embeddings)
      this.head = this.child("lm_head", new Linear(device, { inFeatures: hiddenSize, outFeatures: numEmbeddings }));
    const dim = hiddenSize / config.num_attention_heads;
    const { cos, sin } = rotaryTables(device, { maxPositions, dim, theta: config.rope_theta });
    this.#rotary = { cos: keep(cos), sin: keep(sin) };
  }

  /** @param ids [B, T] u32 @param cacheOf the cache of a layer, for decoding */
  forward(ids: Tensor<"u32">, cacheOf?: (layer: number) => AttentionContext["cache"]): MonetOutput {
    const { hidden_size: H } = this.config;
    let hidden = this.embedding.forward(ids);
    const output: Omit<MonetOutput, "logits"> = {
      hiddenStates: [hidden],
      attentions: [],
      feedForwards: [],
      routings: new Map(),
    };
    let routing: ProductRouting | undefined;
    for (const [index, { block, moe, router }] of this.layers.entries()) {
      const attended = block.attention.forward(block.inputNorm.forward(hidden), {
        ...this.#rotary,
        cache: cacheOf?.(index),
      });
      const middle = add(hidden, attended);
      const tokens = reshape(block.postAttentionNorm.forward(middle), [-1, H]);
      routing = router ? router.route(tokens) : (routing as ProductRouting); // layer 0 always has one
      if (router) output.routings.set(index, routing);
      const mixed = reshape(moe.forward(tokens, routing), middle.shape);
      hidden = add(middle, mixed);
      output.attentions.push(attended);
      output.feedForwards.push(mixed);
      output.hiddenStates.push(hidden);
    }
    const last = this.norm.forward(hidden);
    output.hiddenStates.push(last);
    const logits = this.head ? this.head.forward(last) : linear(last, this.embedding.weight);
    return { ...output, logits };
  }

  override [Symbol.dispose](): void {
    super[Symbol.dispose]();
    this.#rotary.cos.dispose();
    this.#rotary.sin.dispose();
  }
}
