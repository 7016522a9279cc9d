import { defineKernel, grid1d } from "../device/kernel.ts";
import type { DType } from "../tensor/dtype.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import { countingSort } from "./counting-sort.ts";
import code from "./gather-rows.wgsl";
import { combineRows } from "./rows.ts";

const kernel = defineKernel("gather-rows", code);

/** The rows that the indices name, zeros for an index out of range: [R, D] and [M] to [M, D]. */
export function gatherRows<T extends DType>(x: Tensor<T>, indices: Tensor<"u32">): Tensor<T> {
  const [rows, width] = [x.axis(0), x.axis(1)];
  const out = empty(x.device, [indices.size, width], x.dtype);
  const wide = width % 4 === 0;
  x.device.dispatch({
    kernel,
    defines: { WIDE: wide },
    bindings: [x.binding(), indices.binding(), out.binding()],
    params: { count: indices.size, rows, width: wide ? width / 4 : width },
    grid: out.size === 0 ? [0] : grid1d(wide ? out.size / 4 : out.size, 64),
    bytes: 4 * (2 * out.size + indices.size),
  });
  return out;
}

/** Σ of the rows with the same index, in ascending order; indices out of range are skipped: [M, D] and [M] to [numRows, D]. */
export function scatterRows(x: Tensor<"f32">, indices: Tensor<"u32">, numRows: number): Tensor<"f32"> {
  const { counts, offsets, order, slots } = countingSort(indices, numRows);
  const out = combineRows(x, {
    numTokens: numRows,
    tokenOffsets: offsets,
    assignmentSlot: order,
    slotAssignment: slots,
  });
  for (const tensor of [counts, offsets, order, slots]) tensor.dispose();
  return out;
}
