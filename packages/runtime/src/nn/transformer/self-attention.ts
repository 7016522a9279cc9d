import type { Device } from "../../device/device.ts";
import { ConfigError } from "../../device/errors.ts";
import { attention } from "../../ops/attention.ts";
import { clamp } from "../../ops/elementwise.ts";
import { reshape } from "../../ops/layout.ts";
import { rotary } from "../../ops/rotary.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Initializer } from "../initializers.ts";
import { Linear } from "../linear.ts";
import { Module } from "../module.ts";
import { RmsNorm } from "../norm.ts";

export interface SelfAttentionOptions {
  hiddenSize: number;
  numHeads: number;
  /** Fewer than numHeads: neighbouring query heads share a key/value head. Default numHeads. */
  numKeyValueHeads?: number;
  headDim?: number;
  /** Biases of the query, key and value projections. Default false */
  queryKeyValueBias?: boolean;
  /** And of the output projection. Default false */
  outputBias?: boolean;
  /**
   * RMS norms of queries and keys before they turn: over the whole projection (OLMoE) or over each head with one weight (Qwen3); called
   * q_norm and k_norm. Default: none
   */
  queryKeyNorm?: { over: "projection" | "head"; epsilon: number } | undefined;
  /** Queries, keys and values beyond ± this are cut off, after the norms. Default: none */
  clip?: number | undefined;
  /** A query sees only keys less than this far back, itself included. Default: all */
  slidingWindow?: number | undefined;
  initializer?: Initializer;
}

/** One layer's keys and values of earlier positions. */
export interface KeyValueStore {
  readonly length: number;
  /** Appends [B, T, A', D]; answers all so far, perhaps with room to spare behind `length`. */
  append(k: Tensor<"f32">, v: Tensor<"f32">): { k: Tensor<"f32">; v: Tensor<"f32">; length: number };
}

export interface AttentionContext {
  /** Rotary tables [P, D/2]: see rotaryTables. */
  cos: Tensor<"f32">;
  sin: Tensor<"f32">;
  /** [B, S] over all keys, the cached ones included; 1 = real, 0 = padding. */
  keyMask?: Tensor<"f32"> | undefined;
  /** What to continue; the new keys and values are appended. */
  cache?: KeyValueStore | undefined;
}

/** Causal self-attention with rotary positions and grouped key/value heads (Llama's, and most decoders' since). */
export class SelfAttention extends Module {
  readonly #numHeads: number;
  readonly #numKeyValueHeads: number;
  readonly #headDim: number;
  readonly query: Linear;
  readonly key: Linear;
  readonly value: Linear;
  readonly output: Linear;
  readonly queryNorm: RmsNorm | undefined;
  readonly keyNorm: RmsNorm | undefined;
  readonly #clip: number | undefined;
  readonly #slidingWindow: number | undefined;

  constructor(device: Device, options: SelfAttentionOptions) {
    super(device);
    const {
      hiddenSize,
      numHeads,
      numKeyValueHeads = numHeads,
      headDim = hiddenSize / numHeads,
      queryKeyValueBias: bias = false,
    } = options;
    if (!Number.isInteger(headDim) || headDim % 2 !== 0 || numHeads % numKeyValueHeads !== 0)
      throw new ConfigError(
        `SelfAttention: hiddenSize ${hiddenSize} over ${numHeads} heads must give an even head size, and ${numKeyValueHeads} key/value heads must divide them`,
      );
    this.#numHeads = numHeads;
    this.#numKeyValueHeads = numKeyValueHeads;
    this.#headDim = headDim;
    const init = options.initializer ? { initializer: options.initializer } : {};
    const project = (heads: number) =>
      new Linear(device, { inFeatures: hiddenSize, outFeatures: heads * headDim, bias, ...init });
    this.query = this.child("q_proj", project(numHeads));
    this.key = this.child("k_proj", project(numKeyValueHeads));
    this.value = this.child("v_proj", project(numKeyValueHeads));
    this.output = this.child(
      "o_proj",
      new Linear(device, {
        inFeatures: numHeads * headDim,
        outFeatures: hiddenSize,
        bias: options.outputBias ?? false,
        ...init,
      }),
    );
    const { queryKeyNorm: norm } = options;
    const normOf = (name: string, heads: number) =>
      norm && this.child(name, new RmsNorm(device, norm.over === "head" ? headDim : heads * headDim, norm.epsilon));
    this.queryNorm = normOf("q_norm", numHeads);
    this.keyNorm = normOf("k_norm", numKeyValueHeads);
    this.#clip = options.clip;
    this.#slidingWindow = options.slidingWindow;
  }

  /** @param x [B, T, H] @returns [B, T, H] */
  forward(x: Tensor<"f32">, { cos, sin, keyMask, cache }: AttentionContext): Tensor<"f32"> {
    const [B, T] = [x.axis(0), x.axis(1)];
    const offset = cache?.length ?? 0;
    const heads = (projected: Tensor<"f32">, count: number) => reshape(projected, [B, T, count, this.#headDim]);
    const cut = (values: Tensor<"f32">) => (this.#clip === undefined ? values : clamp(values, -this.#clip, this.#clip));
    // A norm over a head has that head's size, one over the projection is applied before the split.
    const normalised = (projected: Tensor<"f32">, count: number, norm: RmsNorm | undefined) => {
      if (!norm) return heads(cut(projected), count);
      const isWhole = norm.weight.size === projected.axis(-1);
      return isWhole ? heads(cut(norm.forward(projected)), count) : cut(norm.forward(heads(projected, count)));
    };
    const turned = (projected: Tensor<"f32">, count: number, norm: RmsNorm | undefined) =>
      rotary(normalised(projected, count, norm), cos, sin, { offset });
    const q = turned(this.query.forward(x), this.#numHeads, this.queryNorm);
    const k = turned(this.key.forward(x), this.#numKeyValueHeads, this.keyNorm);
    const v = heads(cut(this.value.forward(x)), this.#numKeyValueHeads);
    const options = {
      causal: true,
      keyMask,
      ...(this.#slidingWindow === undefined ? {} : { slidingWindow: this.#slidingWindow }),
    };
    const past = cache?.append(k, v);
    const mixed = past
      ? attention(q, past.k, past.v, { ...options, keyLength: past.length, queryOffset: offset })
      : attention(q, k, v, options);
    return this.output.forward(reshape(mixed, [B, T, this.#numHeads * this.#headDim]));
  }
}
