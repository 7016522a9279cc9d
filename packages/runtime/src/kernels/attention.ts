import type { Device } from "../device/device.ts";
import { ShapeError, ValueError } from "../device/errors.ts";
import { defineKernel } from "../device/kernel.ts";
import type { Defines } from "../device/preprocess.ts";
import { expectShape, formatShape } from "../tensor/shape.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import code from "./attention.wgsl";
import common from "./attention-common.wgsl";
import decodeCode from "./attention-decode.wgsl";

type F32 = Tensor<"f32">;

const includes = { "attention-common": common };
const kernel = defineKernel("attention", code, includes);
const decodeKernel = defineKernel("attention-decode", decodeCode, includes);

export interface AttentionOptions {
  /** A query sees the keys up to its own position only. Default false. */
  causal?: boolean;
  /** [B, keyLength] or wider; 0 hides a key (padding). */
  keyMask?: Tensor<"u32"> | Tensor<"f32"> | undefined;
  /** Of the scores. Default 1 / sqrt(D). */
  scale?: number;
  /** Keys in use, counted from the first; a cache holds more rows. Default S. */
  keyLength?: number;
  /** Position of the first query among the keys. Default keyLength - T: the last query belongs to the last key. */
  queryOffset?: number;
  /** A query sees only keys less than this far from its own position, itself included. Default: any. */
  slidingWindow?: number;
  /** [1] the first query's position, read on the device; keyLength is then position + T. For captured decoding; no gradients. */
  position?: Tensor<"u32"> | undefined;
}

/** A call whose operands fit together: its sizes and `params` are those of attention-common.wgsl. */
export interface AttentionPlan {
  readonly B: number;
  readonly T: number;
  readonly S: number;
  readonly numHeads: number;
  readonly numKeyValueHeads: number;
  readonly headDim: number;
  /** (query, key) pairs that are computed, for the profile. */
  readonly pairs: number;
  readonly params: Readonly<Record<string, number>>;
}

/** Farther than any key; sums of it and a position stay within i32. */
const ANYWHERE = 0x3fffffff;
const MAX_HEAD_DIM = 256;

/** @throws {ShapeError} naming the operand that does not fit */
export function planAttention(q: F32, k: F32, v: F32, options: AttentionOptions): AttentionPlan {
  if (q.rank !== 4 || k.rank !== 4)
    throw new ShapeError(
      `attention: needs q [B, T, A, D] and k [B, S, Akv, D], got ${formatShape(q.shape)} and ${formatShape(k.shape)}`,
    );
  const [B, T, numHeads, headDim] = [q.axis(0), q.axis(1), q.axis(2), q.axis(3)];
  const [S, numKeyValueHeads] = [k.axis(1), k.axis(2)];
  expectShape("attention", "k", k.shape, [B, S, numKeyValueHeads, headDim]);
  expectShape("attention", "v", v.shape, k.shape);
  if (numHeads % numKeyValueHeads !== 0)
    throw new ShapeError(`attention: ${numHeads} query heads are no multiple of ${numKeyValueHeads} key/value heads`);
  if (headDim < 1 || headDim > MAX_HEAD_DIM)
    throw new ShapeError(`attention: the head size is ${headDim}, expected 1 to ${MAX_HEAD_DIM}`);
  const { causal = false, keyMask, scale = 1 / Math.sqrt(headDim), slidingWindow, position } = options;
  const { keyLength = S, queryOffset = position ? 0 : keyLength - T } = options;
  if (!Number.isInteger(keyLength) || keyLength < 0 || keyLength > S)
    throw new ValueError(`attention: keyLength is ${keyLength}, expected 0 to S = ${S}`);
  if (!Number.isInteger(queryOffset) || (causal && queryOffset < 0))
    throw new ValueError(
      `attention: queryOffset is ${queryOffset}, expected 0 or more${options.queryOffset === undefined ? `; give it when there are more queries (${T}) than keys (${keyLength})` : ""}`,
    );
  if (slidingWindow !== undefined && (!Number.isInteger(slidingWindow) || slidingWindow < 1))
    throw new ValueError(`attention: slidingWindow is ${slidingWindow}, expected an integer of at least 1`);
  if (keyMask && (keyMask.rank !== 2 || keyMask.axis(0) !== B || keyMask.axis(1) < (position ? S : keyLength)))
    throw new ShapeError(
      `attention: keyMask has shape ${formatShape(keyMask.shape)}, expected [${B}, ${position ? S : keyLength}] or wider`,
    );
  if (position) expectShape("attention", "position", position.shape, [1]);
  const back = slidingWindow === undefined ? ANYWHERE : slidingWindow - 1;
  const ahead = causal ? 0 : back;
  return {
    B,
    T,
    S,
    numHeads,
    numKeyValueHeads,
    headDim,
    pairs: B * numHeads * visiblePairs(T, keyLength, queryOffset, ahead, back),
    params: {
      queries: T,
      keys: S,
      key_length: keyLength,
      heads: numHeads,
      group: numHeads / numKeyValueHeads,
      dim: headDim,
      scale: scale * Math.LOG2E,
      offset: queryOffset,
      ahead,
      back,
      masked: keyMask ? 1 : 0,
      mask_stride: keyMask ? keyMask.axis(1) : 1,
      positioned: position ? 1 : 0,
    },
  };
}

function visiblePairs(T: number, keyLength: number, offset: number, ahead: number, back: number): number {
  // A query at position p sees clamp(p + ahead + 1) - clamp(p - back) keys, clamped to 0 .. keyLength.
  const clampedSum = (from: number) => clampedBelow(from + T, keyLength) - clampedBelow(from, keyLength);
  return clampedSum(offset + ahead + 1) - clampedSum(offset - back);
}

/** Σ min(n, most) over 0 ≤ n < end. */
function clampedBelow(end: number, most: number): number {
  const rising = Math.max(0, Math.min(end, most));
  return (rising * (rising - 1)) / 2 + Math.max(0, end - most) * most;
}

/**
 * Rows of a block with subgroups of 8 lanes: each block passes over the tile's queries once more, but scores beyond the registers spill.
 * The backward kernels keep two scores a row and gain little above 16, for twice the time to compile.
 */
const BLOCKS = { forward: 32, backward: 16 };
/** Rows of a block without subgroups. The scores of a block fill the registers, and its unrolled code takes long to compile. */
const PLAIN_BLOCK = 4;

/**
 * Defines of the tiled kernels. A workgroup is a subgroup, which reads a row a lane and broadcasts; without subgroups each lane
 * reads all rows.
 * @param subgroupSize 0 for none
 */
export function attentionTiles(
  headDim: number,
  subgroupSize: number,
  pass: keyof typeof BLOCKS,
): Defines & { LANES: number } {
  const width = subgroupSize || PLAIN_BLOCK;
  return {
    LANES: subgroupSize || 32,
    WIDTH: width,
    GROUPS: subgroupSize === 8 ? BLOCKS[pass] / 8 : subgroupSize > 0 && subgroupSize < 8 ? 2 : 1,
    VEC: headDim % 4 === 0,
    SUBGROUPS: subgroupSize > 0,
  };
}

/** Lanes that share a query when decoding: barriers are dear on a software adapter, lanes are few. */
function decodeLanes(device: Device): number {
  return device.adapterClass === "hardware" ? 64 : device.subgroupSize || 8;
}

/**
 * The attention of ops/attention.ts, and what its gradient needs.
 * @param subgroupSize of the tiled kernel. Default: the device's
 * @returns out [B, T, A, D] and logsumexp [B, A, T] of the scores, base 2
 */
export function attentionForward(
  q: F32,
  k: F32,
  v: F32,
  plan: AttentionPlan,
  { keyMask, position }: AttentionOptions,
  subgroupSize = q.device.subgroupSize,
): { out: F32; logsumexp: F32 } {
  const { device } = q;
  const { B, T, numHeads, headDim, pairs, params } = plan;
  const out = empty(device, q.shape, "f32");
  const logsumexp = empty(device, [B, numHeads, T], "f32");
  const tiles = attentionTiles(headDim, subgroupSize, "forward");
  // A tile takes its time however few of its 4 · LANES queries are there; a query alone takes about a twentieth of that.
  const decodes = T <= Math.max(1, tiles.LANES / 8);
  device.dispatch({
    kernel: decodes ? decodeKernel : kernel,
    defines: decodes ? { LANES: decodeLanes(device), VEC: headDim % 4 === 0 } : tiles,
    bindings: [q, k, v, keyMask ?? q, position ?? q, out, logsumexp].map((tensor) => tensor.binding()),
    params,
    grid: [decodes ? T : Math.ceil(T / (4 * tiles.LANES)), numHeads, B],
    flops: 4 * pairs * headDim,
    bytes: 4 * (q.size + k.size + v.size + out.size),
  });
  return { out, logsumexp };
}
