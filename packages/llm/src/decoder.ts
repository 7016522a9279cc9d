import { KvCache } from "@moebius/runtime/decode";
import type { Device } from "@moebius/runtime/device";
import type { PublishedLayout } from "@moebius/runtime/io";
import type { Routing } from "@moebius/runtime/moe";
import { Embedding, type Initializer, Linear, Module, RmsNorm } from "@moebius/runtime/nn";
import {
  add,
  linear,
  linearCrossEntropy,
  type RotaryTableOptions,
  reshape,
  rotaryTables,
  slice,
} from "@moebius/runtime/ops";
import { keep, type RandomKey, type Tensor } from "@moebius/runtime/tensor";
import type { DecoderLayer, LayerTrace } from "./decoder-layer.ts";

type F32 = Tensor<"f32">;

/** What is the model's and not a layer's: the parts that all families share, with the family's sizes. */
export interface DecoderOptions {
  vocabSize: number;
  hiddenSize: number;
  normEpsilon: number;
  tieWordEmbeddings: boolean;
  /** An id whose embedding gets no gradient. */
  paddingIndex?: number | undefined;
  initializer?: Initializer;
  rotary: RotaryTableOptions;
  /** Sizes of the cached keys and values. */
  cache: { numKeyValueHeads: number; headDim: number };
  layers: DecoderLayer[];
  /** Parts of the model that layers share, by name. */
  shared?: Readonly<Record<string, Module>>;
  /** The losses that the family trains its routers with, scaled and added up. @param numSequences B */
  auxLoss?: (routings: readonly Routing[], context: { numSequences: number; mask?: F32 | undefined }) => F32;
  layout: PublishedLayout;
  /** Tensors of published checkpoints that are derived from the config. */
  ignore?: RegExp;
}

export interface DecoderForwardOptions {
  /** [B, S] over all positions, the cached ones included; 1 = real, 0 = padding on the left. */
  attentionMask?: F32 | undefined;
  cache?: KvCache | undefined;
  /** Whether noise and schedules of training apply in the routers. Default false */
  training?: boolean;
  /** Randomness of a step, which layers split; routers that draw need it. */
  key?: RandomKey;
}

/** What a forward pass made, up to the head. */
export interface DecoderTrace {
  /** [B, T, H] of the embedding. */
  embedded: F32;
  layers: LayerTrace[];
  /** [B, T, H] after the final norm. */
  last: F32;
  /** Of the sparse layers, in order. */
  routings: Routing[];
}

export interface DecoderOutput extends DecoderTrace {
  /** [B, T, V] */
  logits: F32;
}

/** A decoder-only language model whose layers a family makes; see the models folder. */
export class MoeDecoder extends Module {
  readonly embedding: Embedding;
  readonly layers: readonly DecoderLayer[];
  readonly norm: RmsNorm;
  readonly head: Linear | undefined;
  readonly options: DecoderOptions;
  readonly #rotary: { cos: F32; sin: F32 };

  constructor(device: Device, options: DecoderOptions) {
    super(device);
    const { vocabSize, hiddenSize, normEpsilon, tieWordEmbeddings, paddingIndex, layers } = options;
    const init = options.initializer ? { initializer: options.initializer } : {};
    this.options = options;
    this.embedding = this.child(
      "model.embed_tokens",
      new Embedding(device, { numEmbeddings: vocabSize, hiddenSize, paddingIndex, ...init }),
    );
    this.layers = this.children("model.layers", layers);
    for (const [name, part] of Object.entries(options.shared ?? {})) this.child(name, part);
    this.norm = this.child("model.norm", new RmsNorm(device, hiddenSize, normEpsilon));
    if (!tieWordEmbeddings)
      this.head = this.child(
        "lm_head",
        new Linear(device, { inFeatures: hiddenSize, outFeatures: vocabSize, ...init }),
      );
    const { cos, sin } = rotaryTables(device, options.rotary);
    this.#rotary = { cos: keep(cos), sin: keep(sin) };
  }

  /** @param ids [B, T] u32, below V */
  forward(ids: Tensor<"u32">, options: DecoderForwardOptions = {}): DecoderOutput {
    const trace = this.#layersOf(ids, options);
    return { ...trace, logits: this.logits(trace.last) };
  }

  /** @param last [..., H] after the final norm @returns [..., V] */
  logits(last: F32): F32 {
    return linear(last, this.#headWeight);
  }

  get #headWeight(): F32 {
    return this.head?.weight ?? this.embedding.weight;
  }

  #layersOf(ids: Tensor<"u32">, options: DecoderForwardOptions): DecoderTrace {
    const { attentionMask, cache, training, key } = options;
    const [B, T] = [ids.axis(0), ids.axis(1)];
    const embedded = this.embedding.forward(ids);
    const mask = attentionMask && reshape(slice(attentionMask, 1, cache?.length ?? 0, T), [B * T]);
    const layers: LayerTrace[] = [];
    const tokenIds = reshape(ids, [B * T]);
    let state: unknown;
    for (const [index, layer] of this.layers.entries()) {
      const attention = { ...this.#rotary, keyMask: attentionMask, cache: cache?.layer(index) };
      const before = layers.at(-1);
      const context = { state, mask, tokenIds, training, key: key?.fold(index) };
      const trace = layer.forward(before?.hidden ?? embedded, attention, context, before?.momentum);
      state = trace.state ?? trace.routing?.state ?? state;
      layers.push(trace);
    }
    const last = this.norm.forward(layers.at(-1)?.hidden ?? embedded);
    const routings = layers.flatMap(({ routing }) => (routing ? [routing] : []));
    return { embedded, layers, last, routings };
  }

  /**
   * Cross-entropy of the next token, and the family's losses for its routers. The logits are never in memory all at once: see
   * linearCrossEntropy.
   * @param labels [B, T] u32: the ids themselves, which the loss shifts; 2³² − 100 (−100) is not counted
   */
  loss(
    ids: Tensor<"u32">,
    labels: Tensor<"u32">,
    options: Omit<DecoderForwardOptions, "cache"> = {},
  ): { loss: F32; crossEntropy: F32; aux?: F32; output: DecoderTrace } {
    const output = this.#layersOf(ids, options);
    const { attentionMask } = options;
    const before = ids.axis(1) - 1;
    const predicting = reshape(slice(output.last, 1, 0, before), [-1, this.options.hiddenSize]);
    const next = reshape(slice(labels, 1, 1, before), [-1]);
    const entropy = linearCrossEntropy(predicting, this.#headWeight, next);
    const { auxLoss } = this.options;
    if (!auxLoss || output.routings.length === 0) return { loss: entropy, crossEntropy: entropy, output };
    const mask = attentionMask && reshape(attentionMask, [attentionMask.size]);
    const aux = auxLoss(output.routings, { numSequences: ids.axis(0), mask });
    return { loss: add(entropy, aux), crossEntropy: entropy, aux, output };
  }

  newCache(batchSize: number, capacity: number): KvCache {
    const { cache } = this.options;
    return new KvCache(this.device, { numLayers: this.layers.length, batchSize, capacity, ...cache });
  }

  override [Symbol.dispose](): void {
    super[Symbol.dispose]();
    this.#rotary.cos.dispose();
    this.#rotary.sin.dispose();
  }
}
