import { ShapeError } from "../device/errors.ts";
import { defineKernel, grid1d } from "../device/kernel.ts";
import { formatShape } from "../tensor/shape.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import code from "./attention.wgsl";
import { rowLanes } from "./softmax.ts";

type F32 = Tensor<"f32">;

const kernel = defineKernel("attention", code);

export interface AttentionOptions {
  /** A query sees keys up to its own position. */
  causal?: boolean;
  /** [B, S] or wider: 0 = padding, never seen. */
  keyMask?: F32 | undefined;
  /** Factor of the scores. Default 1 / sqrt(D). */
  scale?: number;
  /** Position of the first query among the keys. Default: keyLength − T, so that the last query sees all. */
  queryOffset?: number;
  /** Keys in use, when k and v have room for more. Default: S. */
  keyLength?: number;
  /** With `causal`: how many of the last keys a query sees. Default: all. */
  slidingWindow?: number;
}

function layout(q: F32, k: F32, v: F32, options: AttentionOptions) {
  const [batch = 0, queries = 0, heads = 0, dim = 0] = q.shape;
  const [, keyCapacity = 0, kvHeads = 0] = k.shape;
  const { keyLength = keyCapacity, keyMask, causal = false, slidingWindow = 0, scale = 1 / Math.sqrt(dim) } = options;
  const { queryOffset = Math.max(0, keyLength - queries) } = options;
  if (q.rank !== 4 || k.rank !== 4 || k.shape.join() !== v.shape.join() || k.axis(0) !== batch || k.axis(3) !== dim || heads % kvHeads !== 0)
    throw new ShapeError(`attention: q ${formatShape(q.shape)}, k ${formatShape(k.shape)}, v ${formatShape(v.shape)} must be [B, T, A, D] and twice [B, S, A', D], A a multiple of A'`);
  if (keyLength > keyCapacity || (keyMask && (keyMask.axis(0) !== batch || keyMask.axis(1) < keyLength)))
    throw new ShapeError(`attention: keyLength ${keyLength} must fit k ${formatShape(k.shape)}${keyMask ? ` and the mask ${formatShape(keyMask.shape)}` : ""}`);
  const params = {
    batch,
    queries,
    keys: keyLength,
    heads,
    kv_heads: kvHeads,
    key_capacity: keyCapacity,
    query_offset: queryOffset,
    causal: causal ? 1 : 0,
    window: slidingWindow,
    has_mask: keyMask ? 1 : 0,
    mask_stride: keyMask ? keyMask.axis(1) : 0,
    scale,
  };
  const seen = causal ? queries * (queryOffset + (queries + 1) / 2) : queries * keyLength;
  return { batch, queries, heads, kvHeads, params, flopsPerProduct: 2 * batch * heads * seen * dim, lanes: rowLanes(q.device), quads: dim / 4 };
}

/** @param q [B, T, A, D] with D a multiple of 4 @returns output of q's shape, and each query's log-sum-exp [B, T, A] */
export function attentionForward(q: F32, k: F32, v: F32, options: AttentionOptions): { out: F32; lse: F32 } {
  const { batch, queries, heads, params, lanes, quads, flopsPerProduct } = layout(q, k, v, options);
  const out = empty(q.device, q.shape, "f32");
  const lse = empty(q.device, [batch, queries, heads], "f32");
  q.device.dispatch({
    kernel,
    defines: { FORWARD: true, QUADS: quads, LANES: lanes },
    bindings: [q, k, v, options.keyMask ?? q, out, lse].map((tensor) => tensor.binding()),
    params,
    grid: [Math.ceil(queries / lanes), batch * heads],
    flops: 2 * flopsPerProduct,
    bytes: 4 * (2 * q.size + k.size + v.size),
  });
  return { out, lse };
}

/** @returns the gradients of q, k and v */
export function attentionBackward(q: F32, k: F32, v: F32, out: F32, lse: F32, dOut: F32, options: AttentionOptions): { dq: F32; dk: F32; dv: F32 } {
  const { batch, queries, heads, kvHeads, params, lanes, quads, flopsPerProduct } = layout(q, k, v, options);
  const { device } = q;
  const lseDelta = empty(device, [batch, queries, heads, 2], "f32");
  const rows = batch * queries * heads;
  device.dispatch({
    kernel,
    defines: { DELTA: true, QUADS: quads, LANES: lanes },
    bindings: [out, dOut, lse, lseDelta].map((tensor) => tensor.binding()),
    params,
    grid: rows === 0 ? [0] : grid1d(rows, 64),
  });
  const [dq, dk, dv] = [q, k, v].map((tensor) => empty(device, tensor.shape, "f32")) as [F32, F32, F32];
  const shared = [q, k, v, options.keyMask ?? q, dOut, lseDelta];
  device.dispatch({
    kernel,
    defines: { BACKWARD: true, QUADS: quads, LANES: lanes },
    bindings: [...shared, dq].map((tensor) => tensor.binding()),
    params,
    grid: [Math.ceil(queries / lanes), batch * heads],
    flops: 3 * flopsPerProduct,
  });
  device.dispatch({
    kernel,
    defines: { BACKWARD: true, DKV: true, QUADS: quads, LANES: lanes },
    bindings: [...shared, dk, dv].map((tensor) => tensor.binding()),
    params,
    grid: [Math.ceil(params.keys / lanes), batch * kvHeads],
    flops: 4 * flopsPerProduct,
  });
  lseDelta.dispose();
  return { dq, dk, dv };
}
