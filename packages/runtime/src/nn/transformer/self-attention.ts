import type { Device } from "../../device/device.ts";
import { ConfigError } from "../../device/errors.ts";
import { attention } from "../../ops/attention.ts";
import { reshape } from "../../ops/layout.ts";
import { rotary } from "../../ops/rotary.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Initializer } from "../initializers.ts";
import { Linear } from "../linear.ts";
import { Module } from "../module.ts";

export interface SelfAttentionOptions {
  hiddenSize: number;
  numHeads: number;
  /** Fewer than numHeads: neighbouring query heads share a key/value head. Default numHeads. */
  numKeyValueHeads?: number;
  headDim?: number;
  /** Biases of the query, key and value projections; the output projection has none. */
  queryKeyValueBias?: boolean;
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
      new Linear(device, { inFeatures: numHeads * headDim, outFeatures: hiddenSize, ...init }),
    );
  }

  /** @param x [B, T, H] @returns [B, T, H] */
  forward(x: Tensor<"f32">, { cos, sin, keyMask, cache }: AttentionContext): Tensor<"f32"> {
    const [B, T] = [x.axis(0), x.axis(1)];
    const heads = (projected: Tensor<"f32">, count: number) => reshape(projected, [B, T, count, this.#headDim]);
    const offset = cache?.length ?? 0;
    const q = rotary(heads(this.query.forward(x), this.#numHeads), cos, sin, { offset });
    const k = rotary(heads(this.key.forward(x), this.#numKeyValueHeads), cos, sin, { offset });
    const v = heads(this.value.forward(x), this.#numKeyValueHeads);
    const past = cache?.append(k, v);
    const mixed = past
      ? attention(q, past.k, past.v, { causal: true, keyMask, keyLength: past.length, queryOffset: offset })
      : attention(q, k, v, { causal: true, keyMask });
    return this.output.forward(reshape(mixed, [B, T, this.#numHeads * this.#headDim]));
  }
}
