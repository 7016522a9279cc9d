import type { Device } from "../../device/device.ts";
import { ConfigError, ShapeError } from "../../device/errors.ts";
import { arange } from "../../kernels/fill.ts";
import { map } from "../../kernels/map.ts";
import { attention } from "../../ops/attention.ts";
import { concat, reshape, split } from "../../ops/layout.ts";
import { rotary } from "../../ops/rotary.ts";
import { formatShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { viewOf } from "../../tensor/views.ts";
import type { TokenSelection } from "./token-selection.ts";
import { UnionBlock, type UnionOptions, type UnionOutput } from "./union-block.ts";
import { UnionLinear } from "./union-linear.ts";

type F32 = Tensor<"f32">;

export interface UnionAttentionOptions extends Omit<UnionOptions, "topK"> {
  /** D; even. Default hiddenSize / numExperts. */
  headDim?: number;
  /** Experts that a token scores for. Default: half of them, rounded down. */
  topK?: number;
  /** Whether a token sees the tokens before it only. Default true; false for images. */
  causal?: boolean;
}

export interface UnionAttentionContext {
  /** Rotary tables [P, D/2] for as many positions as memory and sequence hold together. */
  cos: F32;
  sin: F32;
  /** [B, M, H] earlier tokens, whose keys and values go in front; they are selected by the same gate. */
  memory?: F32 | undefined;
  /** Takes the place of the gate's choice. */
  selection?: TokenSelection | undefined;
}

/**
 * Selective multi-head attention: an expert is a head with its own slices of the projections, and attends within the tokens that it
 * selected. Positions of the rotary embedding are ranks among the selected tokens; queries count from 0, keys from the first one of
 * the memory. With every token in every expert this is multi-head attention.
 * @see Yang et al. 2025, arXiv:2503.02495; layer SMHA_v3 of its code
 */
export class UnionAttention extends UnionBlock {
  readonly headDim: number;
  readonly #causal: boolean;
  /** [E, H, D] */
  readonly query: UnionLinear;
  /** [E, H, 2D]: keys, then values */
  readonly keyValue: UnionLinear;
  /** [E, D, H] */
  readonly output: UnionLinear;

  constructor(device: Device, options: UnionAttentionOptions) {
    const { hiddenSize: H, numExperts: E, topK = Math.floor(E / 2), headDim = H / E } = options;
    if (!(Number.isInteger(headDim) && headDim % 2 === 0))
      throw new ConfigError(
        `UnionAttention: the head size is ${headDim}, expected an even integer (hiddenSize ${H}, ${E} heads)`,
      );
    super(device, { ...options, topK }, { tokensPerExpert: "largest" });
    this.headDim = headDim;
    this.#causal = options.causal ?? true;
    this.query = this.child("W_q", new UnionLinear(device, "columns", [E, H, headDim]));
    this.keyValue = this.child("W_kv", new UnionLinear(device, "columns", [E, H, 2 * headDim]));
    this.output = this.child("ff", new UnionLinear(device, "rows", [E, headDim, H]));
  }

  /** @param x [B, T, H] */
  forward(x: F32, { cos, sin, memory, selection: given }: UnionAttentionContext): UnionOutput {
    if (memory && (memory.rank !== 3 || memory.axis(0) !== x.axis(0)))
      throw new ShapeError(`UnionAttention: memory ${formatShape(memory.shape)} for x ${formatShape(x.shape)}`);
    const { scores, selection } = this.select(x, given);
    const past = memory && this.select(memory).selection;
    const rows = this.gather(x, selection); // [E, B · S, H]
    if (rows.size === 0) return { y: this.scatter(x, rows, scores, selection), scores, selection };
    const [E, H, D, sequences] = [this.numExperts, this.hiddenSize, this.headDim, this.numExperts * x.axis(0)];
    const perSequence = (values: F32) => reshape(values, [sequences, -1, H]);
    const keyRows = memory && past ? concat([perSequence(this.gather(memory, past)), perSequence(rows)], 1) : rows;
    const [keys, values] = split(this.keyValue.forward(reshape(keyRows, [E, -1, H])), 2, [D, D]) as [F32, F32];
    const heads = (projected: F32) => reshape(projected, [sequences, -1, 1, D]);
    const q = rotary(heads(this.query.forward(rows)), cos, sin);
    const k = rotary(heads(keys), cos, sin, { positions: past && keyPositions(past, selection) });
    const mixed = attention(q, k, heads(values), {
      causal: this.#causal,
      keyMask: keyMask(past ? [past, selection] : [selection]),
      queryOffset: past?.indices.axis(2) ?? 0,
    });
    const outputs = this.output.forward(reshape(mixed, [E, -1, D]));
    return { y: this.scatter(x, outputs, scores, selection), scores, selection };
  }
}

/** [E · B, S]: 1 where a slot holds a token. */
function keyMask(selections: readonly TokenSelection[]): F32 {
  const masks = selections.map(({ indices }) => {
    const holds = map("select(T(1.0), T(0.0), a == ~(a ^ a))", [indices]);
    return viewOf(holds, [indices.axis(0) * indices.axis(1), indices.axis(2)]);
  });
  return concat(masks, 1);
}

/** [E · B, M + S] ranks: the sequence goes on behind the slots of the memory that are in use. */
function keyPositions(past: TokenSelection, { indices }: TokenSelection): Tensor<"u32"> {
  const [E, B, S] = indices.shape as [number, number, number];
  const [earlier, own] = [arange(indices.device, past.indices.axis(2), "u32"), arange(indices.device, S, "u32")];
  const ranks = concat([earlier, map("a + b", [own, past.used], { dtype: "u32" })], 0);
  return map("a", [ranks], { dtype: "u32", shape: [E * B, ranks.size] });
}
