import { defineKernel, grid1d } from "../device/kernel.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import code from "./merge-duplicates.wgsl";

const kernel = defineKernel("merge-duplicates", code);

type U32 = Tensor<"u32">;
type F32 = Tensor<"f32">;

/** Choices [N, K] in which each token names an expert once; `first` [N, K] says which place stands for each of the old ones. */
export function mergeDuplicates(experts: U32, weights: F32): { experts: U32; weights: F32; first: U32 } {
  const { device, shape } = experts;
  const merged = empty(device, shape, "u32");
  const sums = empty(device, shape, "f32");
  const first = empty(device, shape, "u32");
  device.dispatch({
    kernel,
    bindings: [experts, weights, merged, sums, first].map((tensor) => tensor.binding()),
    params: { tokens: experts.axis(0), top_k: experts.axis(1) },
    grid: experts.size === 0 ? [0] : grid1d(experts.axis(0), 64),
    bytes: 4 * 5 * experts.size,
  });
  return { experts: merged, weights: sums, first };
}
