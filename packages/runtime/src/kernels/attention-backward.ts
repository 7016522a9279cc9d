import { defineKernel, grid1d } from "../device/kernel.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import { type AttentionPlan, attentionTiles } from "./attention.ts";
import common from "./attention-common.wgsl";
import deltaCode from "./attention-delta.wgsl";
import keysCode from "./attention-dkv.wgsl";
import queriesCode from "./attention-dq.wgsl";

type F32 = Tensor<"f32">;

const deltaKernel = defineKernel("attention-delta", deltaCode);
const queriesKernel = defineKernel("attention-dq", queriesCode, { "attention-common": common });
const keysKernel = defineKernel("attention-dkv", keysCode, { "attention-common": common });

/** What `attentionForward` took and gave. */
export interface AttentionTrace {
  q: F32;
  k: F32;
  v: F32;
  keyMask: Tensor | undefined;
  out: F32;
  logsumexp: F32;
}

export interface AttentionWishes {
  queries: boolean;
  keysAndValues: boolean;
}

/**
 * Gradients of attention in two passes, by tiles of queries and by tiles of keys; scores are computed anew in both.
 * @returns dq as q, dk as k and dv as v: zeros at keys that no query sees
 */
export function attentionBackward(
  dout: F32,
  { q, k, v, keyMask, out, logsumexp }: AttentionTrace,
  { B, T, S, numHeads, numKeyValueHeads, headDim, pairs, params }: AttentionPlan,
  wishes: AttentionWishes,
  subgroupSize = q.device.subgroupSize,
): { dq: F32 | undefined; dk: F32 | undefined; dv: F32 | undefined } {
  const { device } = q;
  const stats = empty(device, [B, numHeads, T, 2], "f32");
  const rows = B * T * numHeads;
  device.dispatch({
    kernel: deltaKernel,
    bindings: [out, dout, logsumexp, stats].map((tensor) => tensor.binding()),
    params: { rows, queries: T, heads: numHeads, dim: headDim },
    grid: rows === 0 ? [0] : grid1d(rows, 64),
    bytes: 8 * out.size,
  });
  const defines = attentionTiles(headDim, subgroupSize, "backward");
  const tileRows = 4 * defines.LANES;
  const operands = [q, k, v, keyMask ?? q, dout, stats];
  const dq = wishes.queries ? empty(device, q.shape, "f32") : undefined;
  if (dq)
    device.dispatch({
      kernel: queriesKernel,
      defines,
      bindings: [...operands, dq].map((tensor) => tensor.binding()),
      params,
      grid: [Math.ceil(T / tileRows), numHeads, B],
      flops: 4 * pairs * headDim,
      bytes: 4 * (3 * q.size + k.size + v.size),
    });
  const dk = wishes.keysAndValues ? empty(device, k.shape, "f32") : undefined;
  const dv = wishes.keysAndValues ? empty(device, v.shape, "f32") : undefined;
  if (dk && dv)
    device.dispatch({
      kernel: keysKernel,
      defines,
      bindings: [...operands, dk, dv].map((tensor) => tensor.binding()),
      params,
      grid: [Math.ceil(S / tileRows), numKeyValueHeads, B],
      flops: 6 * pairs * headDim,
      bytes: 4 * (2 * q.size + 2 * k.size + 2 * v.size),
    });
  stats.dispose();
  return { dq, dk, dv };
}
