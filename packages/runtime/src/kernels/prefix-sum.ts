import { defineKernel, grid1d } from "../device/kernel.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import code from "./prefix-sum.wgsl";

const kernel = defineKernel("prefix-sum", code);

/** Elements a thread adds up; also the most chunks whose sums each thread adds up anew instead of a pass of its own. */
const CHUNK = 256;

/**
 * Exclusive sums with the total behind them: out[i] = x[0] + … + x[i − 1], modulo 2³². One dispatch up to 256 elements, two up to
 * 65,536, two more for every further factor of 256.
 * @param x N elements in any shape
 * @returns [N + 1]
 */
export function prefixSum(x: Tensor<"u32">): Tensor<"u32"> {
  const { device, size } = x;
  const chunks = Math.max(1, Math.ceil(size / CHUNK));
  const out = empty(device, [size + 1], "u32");
  const sums = chunks > 1 ? chunkSums(x, chunks) : undefined;
  const scanned = sums && chunks > CHUNK ? prefixSum(sums) : undefined;
  device.dispatch({
    kernel,
    defines: { SUMS: false, CHUNK },
    bindings: [x.binding(), (scanned ?? sums ?? x).binding(), out.binding()],
    params: { size, chunks, scanned: scanned ? 1 : 0 },
    grid: grid1d(chunks, 64),
    bytes: 8 * size,
  });
  sums?.dispose();
  scanned?.dispose();
  return out;
}

function chunkSums(x: Tensor<"u32">, chunks: number): Tensor<"u32"> {
  const sums = empty(x.device, [chunks], "u32");
  x.device.dispatch({
    kernel,
    defines: { SUMS: true, CHUNK },
    bindings: [x.binding(), sums.binding()],
    params: { size: x.size, chunks, scanned: 0 },
    grid: grid1d(chunks, 64),
    bytes: 4 * x.size,
  });
  return sums;
}
