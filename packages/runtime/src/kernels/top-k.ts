import { defineKernel, grid1d } from "../device/kernel.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import sortKey from "./sort-key.wgsl";
import code from "./top-k.wgsl";

const kernel = defineKernel("top-k", code, { "sort-key": sortKey });

/** Most that a thread keeps in registers; each such k is a pipeline of its own. */
export const FEW = 8;

/** [..., N] to the k largest of the last axis and where they are. */
export function topK(
  x: Tensor<"f32">,
  k: number,
  subgroupSize = x.device.subgroupSize,
): { values: Tensor<"f32">; indices: Tensor<"u32"> } {
  const width = x.axis(-1);
  const rows = x.size / (width || 1);
  const shape = [...x.shape.slice(0, -1), k];
  const values = empty(x.device, shape, "f32");
  const indices = empty(x.device, shape, "u32");
  const few = k <= FEW;
  const shared = { SUBGROUPS: subgroupSize > 0, LANES: subgroupSize || 1, WORKGROUP: subgroupSize || 64 };
  x.device.dispatch({
    kernel,
    defines: few ? { FEW: true, K: k } : { FEW: false, ...shared },
    bindings: [x.binding(), values.binding(), indices.binding()],
    params: { rows, width, k },
    grid: x.size === 0 ? [0] : grid1d(rows, !few && subgroupSize > 0 ? 1 : 64),
    bytes: 4 * (x.size + 2 * values.size),
  });
  return { values, indices };
}

/** softmax of the last axis, and its k ≤ FEW largest values, divided by their sum if asked: a thread does it all for a row. */
export function softmaxTopK(
  logits: Tensor<"f32">,
  k: number,
  normalize: boolean,
): { probs: Tensor<"f32">; values: Tensor<"f32">; indices: Tensor<"u32"> } {
  const { device } = logits;
  const width = logits.axis(-1);
  const rows = logits.size / (width || 1);
  const shape = [...logits.shape.slice(0, -1), k];
  const probs = empty(device, logits.shape, "f32");
  const values = empty(device, shape, "f32");
  const indices = empty(device, shape, "u32");
  device.dispatch({
    kernel,
    defines: { FEW: true, SOFTMAX: true, NORMALIZE: normalize, K: k },
    bindings: [logits, values, indices, probs].map((tensor) => tensor.binding()),
    params: { rows, width, k },
    grid: logits.size === 0 ? [0] : grid1d(rows, 64),
    bytes: 4 * (2 * logits.size + 2 * values.size),
  });
  return { probs, values, indices };
}
