import { KvCache } from "@moebius/runtime/decode";
import { type Device, ValueError } from "@moebius/runtime/device";
import { MoeLayer, type Routing, SwigluExperts, TopKRouter } from "@moebius/runtime/moe";
import {
  type AttentionContext,
  DecoderBlock,
  Linear,
  Module,
  normal,
  RmsNorm,
  SwigluFeedForward,
} from "@moebius/runtime/nn";
import { reshape, rotaryTables, slice, swiglu } from "@moebius/runtime/ops";
import { keep, type Tensor } from "@moebius/runtime/tensor";
import { parseConfig, type TimeMoeConfig, type TimeMoeConfigInput } from "./config.ts";

type F32 = Tensor<"f32">;

export interface ForwardOptions {
  /** [B, S] or wider over all positions, the cached ones included; 1 = real, 0 = padding on the left. */
  attentionMask?: F32 | undefined;
  cache?: KvCache | undefined;
}

export interface TimeMoeOutput {
  /** Output of the embedding, of each layer but the last, and after the final norm: [B, T, D] each. */
  hiddenStates: F32[];
  /** The last of them: what the heads read. */
  last: F32;
  /** One a layer; none in a dense model. */
  routings: Routing[];
}

/** One decoder layer: attention and, in its feed-forward's place, k routed experts and a gated shared one (or a dense block). */
class TimeMoeLayer extends DecoderBlock {
  readonly feedForward: MoeLayer | SwigluFeedForward;

  constructor(device: Device, config: TimeMoeConfig) {
    const {
      hidden_size: hiddenSize,
      intermediate_size: intermediateSize,
      num_experts: numExperts,
      num_experts_per_tok: topK,
    } = config;
    const initializer = normal(config.initializer_range);
    super(device, {
      hiddenSize,
      numHeads: config.num_attention_heads,
      numKeyValueHeads: config.num_key_value_heads,
      queryKeyValueBias: true,
      normEpsilon: config.rms_norm_eps,
      initializer,
    });
    const dense = () => new SwigluFeedForward(device, { hiddenSize, intermediateSize, initializer });
    this.feedForward = this.child(
      "ffn_layer",
      config.use_dense
        ? dense()
        : new MoeLayer(device, {
            router: new TopKRouter(device, { hiddenSize, numExperts, topK, initializer }), // weights as they are: not renormalised
            experts: new SwigluExperts(device, {
              hiddenSize,
              numExperts,
              intermediateSize: Math.floor(intermediateSize / topK),
              initializer,
            }),
            sharedExpert: dense(),
            sharedExpertGate: new Linear(device, { inFeatures: hiddenSize, outFeatures: 1, initializer }),
          }),
    );
  }

  /** @param mask [N] of the tokens @param routings receives this layer's routing */
  run(x: F32, context: AttentionContext, mask: F32 | undefined, routings: Routing[]): F32 {
    const { feedForward } = this;
    return this.forward(x, context, (h) => {
      if (feedForward instanceof SwigluFeedForward) return feedForward.forward(h);
      const { y, routing } = feedForward.forward(h, { mask });
      routings.push(routing);
      return y;
    });
  }
}

/**
 * Time-MoE: a decoder that reads one number a position and predicts the next 1, 8, 32 and 64 values with separate heads.
 * @see Shi et al. 2024, arXiv:2409.16040
 */
export class TimeMoeModel extends Module {
  readonly config: TimeMoeConfig;
  readonly #embedding: { value: Linear; gate: Linear };
  readonly #layers: TimeMoeLayer[];
  readonly #norm: RmsNorm;
  readonly #heads: Linear[];
  readonly #rotary: { cos: F32; sin: F32 };

  constructor(device: Device, config: TimeMoeConfigInput) {
    super(device);
    this.config = parseConfig(config, "TimeMoe config");
    const {
      hidden_size: D,
      input_size,
      num_hidden_layers,
      horizon_lengths,
      initializer_range,
      rms_norm_eps,
    } = this.config;
    const initializer = normal(initializer_range);
    const embed = (name: string) =>
      this.child(
        `model.embed_layer.${name}`,
        new Linear(device, { inFeatures: input_size, outFeatures: D, initializer }),
      );
    this.#embedding = { value: embed("emb_layer"), gate: embed("gate_layer") };
    this.#layers = this.children(
      "model.layers",
      Array.from({ length: num_hidden_layers }, () => new TimeMoeLayer(device, this.config)),
    );
    this.#norm = this.child("model.norm", new RmsNorm(device, D, rms_norm_eps));
    this.#heads = horizon_lengths.map((horizon, i) =>
      this.child(
        `lm_heads.${i}.out_layer`,
        new Linear(device, { inFeatures: D, outFeatures: input_size * horizon, initializer }),
      ),
    );
    const tables = rotaryTables(device, {
      maxPositions: this.config.max_position_embeddings,
      dim: D / this.config.num_attention_heads,
      theta: this.config.rope_theta,
    });
    this.#rotary = { cos: keep(tables.cos), sin: keep(tables.sin) };
  }

  /** Heads in ascending order of horizon. */
  get horizons(): readonly number[] {
    return this.config.horizon_lengths;
  }

  /**
   * @param values [B, T] normalised
   * @returns hidden states and routings; use `predict` for the heads
   */
  forward(values: F32, { attentionMask, cache }: ForwardOptions = {}): TimeMoeOutput {
    const [B, T] = [values.axis(0), values.axis(1)];
    const x = reshape(values, [B, T, 1]);
    const routings: Routing[] = [];
    const hiddenStates = [swiglu(this.#embedding.gate.forward(x), this.#embedding.value.forward(x))]; // silu(Wg x) · (We x)
    // Of the new positions: padding takes no expert and does not count in the balance.
    const mask = attentionMask && reshape(slice(attentionMask, 1, cache?.length ?? 0, T), [B * T]);
    for (const [index, layer] of this.#layers.entries()) {
      const context = { ...this.#rotary, keyMask: attentionMask, cache: cache?.layer(index) };
      hiddenStates.push(layer.run(hiddenStates.at(-1) as F32, context, mask, routings));
    }
    const last = this.#norm.forward(hiddenStates.pop() as F32);
    return { hiddenStates: [...hiddenStates, last], last, routings };
  }

  /**
   * @param hidden [B, T, D]
   * @param head index into `horizons`
   * @returns [B, T, H]: the next H values after each position
   * @throws {ValueError} for a head that does not exist
   */
  predict(hidden: F32, head: number): F32 {
    const layer = this.#heads[head];
    if (!layer) throw new ValueError(`predict: head ${head} does not exist; there are ${this.#heads.length}`);
    return layer.forward(hidden);
  }

  newCache(batchSize: number, capacity: number): KvCache {
    const { config } = this;
    return new KvCache(this.device, {
      numLayers: config.num_hidden_layers,
      batchSize,
      capacity,
      numKeyValueHeads: config.num_key_value_heads,
      headDim: config.hidden_size / config.num_attention_heads,
    });
  }

  override [Symbol.dispose](): void {
    super[Symbol.dispose]();
    this.#rotary.cos.dispose();
    this.#rotary.sin.dispose();
  }
}
