import { defineKernel, grid1d } from "../device/kernel.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import code from "./cross-entropy.wgsl";
import { rowDefines } from "./row-sum.ts";
import rowSum from "./row-sum.wgsl";

type F32 = Tensor<"f32">;

const kernel = defineKernel("cross-entropy", code, { "row-sum": rowSum });

export interface CrossEntropyOptions {
  /** Target of a row that has no loss. Default −100 as in PyTorch; compared as u32. */
  ignoreIndex?: number;
  /** f32, weight of each row. */
  mask?: F32 | undefined;
  /** Share s of the target that is spread evenly over all classes, 0 ≤ s < 1. Default 0. */
  labelSmoothing?: number;
}

function common(logits: F32, { ignoreIndex = -100, mask, labelSmoothing = 0 }: CrossEntropyOptions) {
  const width = logits.axis(-1);
  const rows = logits.size / (width || 1);
  return {
    params: { rows, width, ignore: ignoreIndex >>> 0, smoothing: labelSmoothing, has_mask: mask ? 1 : 0 },
    grid: rows === 0 ? ([0] as const) : grid1d(rows, 1),
  };
}

/** @returns per row: the weighted loss, the weight (0: ignored), and the softmax's maximum and sum [..., 2] */
export function crossEntropyForward(
  logits: F32,
  targets: Tensor<"u32">,
  options: CrossEntropyOptions,
  subgroupSize = logits.device.subgroupSize,
): { losses: F32; weights: F32; stats: F32 } {
  const { device } = logits;
  const losses = empty(device, targets.shape, "f32");
  const weights = empty(device, targets.shape, "f32");
  const stats = empty(device, [...targets.shape, 2], "f32");
  device.dispatch({
    kernel,
    defines: { FORWARD: true, ...rowDefines(logits.axis(-1), subgroupSize) },
    bindings: [logits, targets, options.mask ?? logits, losses, weights, stats].map((tensor) => tensor.binding()),
    ...common(logits, options),
    bytes: 4 * logits.size,
  });
  return { losses, weights, stats };
}

/** @param scales per row, its weight times the gradient of its loss; 0 gives zeros whatever the logits are */
export function crossEntropyBackward(
  logits: F32,
  targets: Tensor<"u32">,
  stats: F32,
  scales: F32,
  options: CrossEntropyOptions,
  subgroupSize = logits.device.subgroupSize,
): F32 {
  const dx = empty(logits.device, logits.shape, "f32");
  logits.device.dispatch({
    kernel,
    defines: { ...rowDefines(logits.axis(-1), subgroupSize) },
    bindings: [logits, targets, stats, scales, dx].map((tensor) => tensor.binding()),
    ...common(logits, options),
    bytes: 8 * logits.size,
  });
  return dx;
}
