import type { Tensor } from "../tensor/tensor.ts";

/** Rows that belong to groups: what the grouped product needs of a routing plan. */
export interface RowGroups {
  /** [G + 1] u32: rows of group g are groupOffsets[g] .. groupOffsets[g + 1] of `numRows` at most. */
  readonly groupOffsets: Tensor<"u32">;
  readonly numGroups: number;
  /** Upper bound of groupOffsets[G]. */
  readonly numRows: number;
  /** [numRows] u32: row of the ungrouped operand that stands for a grouped row; absent when that operand is grouped itself. */
  readonly sourceRow?: Tensor<"u32"> | undefined;
}

/** How many tiles of `height` rows the groups have at most. */
export function maxTiles({ numRows, numGroups }: RowGroups, height: number): number {
  return height === 1 ? numRows : Math.floor(numRows / height) + numGroups;
}
