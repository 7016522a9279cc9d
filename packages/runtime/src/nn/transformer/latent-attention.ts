import type { Device } from "../../device/device.ts";
import { ConfigError } from "../../device/errors.ts";
import { zeros } from "../../kernels/fill.ts";
import { attention } from "../../ops/attention.ts";
import { add } from "../../ops/elementwise.ts";
import { concat, pad, reshape, slice, split } from "../../ops/layout.ts";
import { rotary } from "../../ops/rotary.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Initializer } from "../initializers.ts";
import { Linear } from "../linear.ts";
import { Module } from "../module.ts";
import { RmsNorm } from "../norm.ts";
import type { AttentionContext } from "./self-attention.ts";

type F32 = Tensor<"f32">;

export interface LatentAttentionOptions {
  hiddenSize: number;
  numHeads: number;
  /** Width that queries pass through; absent: a single projection. */
  queryRank?: number | undefined;
  /** Width that keys and values pass through. */
  keyValueRank: number;
  /** Elements of a head's query and key that do not turn with the position. */
  plainHeadDim: number;
  /** And those that do; the key's are shared by all heads. */
  rotaryHeadDim: number;
  valueHeadDim: number;
  /** Biases of the first query and key/value projections and of the output. Default false */
  bias?: boolean;
  /** Pairs (2j, 2j + 1) turn, in place of (j, j + D/2). Default true, as published */
  interleaved?: boolean;
  /** Of the scores. Default 1 / sqrt(plainHeadDim + rotaryHeadDim) */
  scale?: number;
  initializer?: Initializer;
}

/** Of the norms inside, whatever the model's is. */
const EPSILON = 1e-6;

/**
 * Multi-head latent attention: queries, keys and values are projected up from narrow latents, and a key of its own carries the
 * position. Keys and values are cached as they are, not as latents.
 * @see DeepSeek-AI 2024, arXiv:2405.04434, section 2.1
 */
export class LatentAttention extends Module {
  readonly #options: LatentAttentionOptions;
  readonly queryDown: Linear | undefined;
  readonly queryNorm: RmsNorm | undefined;
  /** From the latent, or from the input. */
  readonly queryUp: Linear;
  readonly keyValueDown: Linear;
  readonly keyValueNorm: RmsNorm;
  readonly keyValueUp: Linear;
  readonly output: Linear;

  /** @throws {ConfigError} when the rotated elements are odd, or values are wider than keys */
  constructor(device: Device, options: LatentAttentionOptions) {
    super(device);
    const { hiddenSize, numHeads, queryRank, keyValueRank, plainHeadDim, rotaryHeadDim, valueHeadDim, bias } = options;
    if (rotaryHeadDim % 2 !== 0 || valueHeadDim > plainHeadDim + rotaryHeadDim)
      throw new ConfigError(
        `LatentAttention: ${rotaryHeadDim} rotated elements of a head must be even, and its ${valueHeadDim} values at most its ${plainHeadDim + rotaryHeadDim} query elements`,
      );
    this.#options = options;
    const init = options.initializer ? { initializer: options.initializer } : {};
    const project = (name: string, inFeatures: number, outFeatures: number, withBias = false) =>
      this.child(name, new Linear(device, { inFeatures, outFeatures, bias: withBias, ...init }));
    const queries = numHeads * (plainHeadDim + rotaryHeadDim);
    if (queryRank === undefined) this.queryUp = project("q_proj", hiddenSize, queries);
    else {
      this.queryDown = project("q_a_proj", hiddenSize, queryRank, bias);
      this.queryNorm = this.child("q_a_layernorm", new RmsNorm(device, queryRank, EPSILON));
      this.queryUp = project("q_b_proj", queryRank, queries);
    }
    this.keyValueDown = project("kv_a_proj_with_mqa", hiddenSize, keyValueRank + rotaryHeadDim, bias);
    this.keyValueNorm = this.child("kv_a_layernorm", new RmsNorm(device, keyValueRank, EPSILON));
    this.keyValueUp = project("kv_b_proj", keyValueRank, numHeads * (plainHeadDim + valueHeadDim));
    this.output = project("o_proj", numHeads * valueHeadDim, hiddenSize, bias);
  }

  /** @param x [B, T, H] @returns [B, T, H] */
  forward(x: F32, { cos, sin, keyMask, cache }: AttentionContext): F32 {
    const { numHeads: A, keyValueRank, plainHeadDim: P, rotaryHeadDim: R, valueHeadDim: V } = this.#options;
    const { interleaved = true, scale = 1 / Math.sqrt(P + R) } = this.#options;
    const [B, T] = [x.axis(0), x.axis(1)];
    const offset = cache?.length ?? 0;
    const turn = (part: F32) => rotary(part, cos, sin, { offset, interleaved });
    const narrow = this.queryDown && this.queryNorm ? this.queryNorm.forward(this.queryDown.forward(x)) : x;
    const queries = reshape(this.queryUp.forward(narrow), [B, T, A, P + R]);
    const [plainQuery, turningQuery] = split(queries, 3, [P, R]) as [F32, F32];
    const [latent, sharedKey] = split(this.keyValueDown.forward(x), 2, [keyValueRank, R]) as [F32, F32];
    const keysAndValues = reshape(this.keyValueUp.forward(this.keyValueNorm.forward(latent)), [B, T, A, P + V]);
    const [plainKey, values] = split(keysAndValues, 3, [P, V]) as [F32, F32];
    // The position's key is the same for every head.
    const turned = add(turn(reshape(sharedKey, [B, T, 1, R])), zeros(x.device, [B, T, A, R], "f32"));
    const q = concat([plainQuery, turn(turningQuery)], 3);
    const k = concat([plainKey, turned], 3);
    const v = pad(values, 3, 0, P + R - V); // as wide as keys
    const past = cache?.append(k, v);
    const mixed = past
      ? attention(q, past.k, past.v, { causal: true, keyMask, scale, keyLength: past.length, queryOffset: offset })
      : attention(q, k, v, { causal: true, keyMask, scale });
    return this.output.forward(reshape(slice(mixed, 3, 0, V), [B, T, A * V]));
  }
}
