import { ShapeError } from "../device/errors.ts";
import * as kernels from "../kernels/gather-rows.ts";
import type { DType } from "../tensor/dtype.ts";
import { expectShape, formatShape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { viewOf } from "../tensor/views.ts";
import { reshape } from "./layout.ts";
import { differentiable } from "./tape.ts";

type F32 = Tensor<"f32">;
type U32 = Tensor<"u32">;

/**
 * y[m] = x[indices[m]]: picks rows. An index that is no row, such as NONE (0xffffffff), gives zeros.
 * @param x [R, D]
 * @param indices [M] u32
 * @returns [M, D]
 * @throws {ShapeError} when x is no matrix or indices no vector
 */
export function gatherRows<T extends DType>(x: Tensor<T>, indices: U32): Tensor<T> {
  expectRows("gatherRows", x, indices);
  const numRows = x.axis(0);
  const y = kernels.gatherRows(x, indices);
  // dx[r] = Σ over m with indices[m] = r of dy[m].
  differentiable("gatherRows", [x], [y], [indices], ([dy], [indices]) => [
    kernels.scatterRows(dy as F32, indices as U32, numRows),
  ]);
  return y;
}

/**
 * y[r] = Σ over m with indices[m] = r of x[m]: adds up rows by target, in ascending order and so the same on every run. An index
 * of numRows or more, such as NONE (0xffffffff), is skipped.
 * @param x [M, D]
 * @param indices [M] u32
 * @param numRows R
 * @returns [R, D]
 * @throws {ShapeError} when x is no matrix, indices are not one a row, or numRows is no count
 */
export function scatterRows(x: F32, indices: U32, numRows: number): F32 {
  expectRows("scatterRows", x, indices);
  expectShape("scatterRows", "indices", indices.shape, [x.axis(0)]);
  if (!(Number.isInteger(numRows) && numRows >= 0))
    throw new ShapeError(`scatterRows: numRows must be a count, got ${numRows}`);
  const y = kernels.scatterRows(x, indices, numRows);
  // dx[m] = dy[indices[m]].
  differentiable("scatterRows", [x], [y], [indices], ([dy], [indices]) => [
    kernels.gatherRows(dy as F32, indices as U32),
  ]);
  return y;
}

/**
 * y[..., :] = weight[indices[...]]: the vector of each id. Ids live on the device, where V or more gives zeros without an error:
 * check ids that come from outside on the host.
 * @param indices [...] u32, below V
 * @param weight [V, D]
 * @returns [..., D]
 * @throws {ShapeError} when weight is no matrix
 */
export function embedding(indices: U32, weight: F32): F32 {
  const ids = viewOf(indices, [indices.size]);
  const rows = gatherRows(weight, ids);
  const y = reshape(rows, [...indices.shape, weight.axis(1)]);
  ids.dispose();
  rows.dispose();
  return y;
}

function expectRows(where: string, x: Tensor, indices: U32): void {
  if (x.rank !== 2 || indices.rank !== 1)
    throw new ShapeError(
      `${where}: needs rows [rows, width] and indices [count], got ${formatShape(x.shape)} and ${formatShape(indices.shape)}`,
    );
}
