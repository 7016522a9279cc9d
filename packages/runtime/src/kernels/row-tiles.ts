import { defineKernel } from "../device/kernel.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import code from "./tiles.wgsl";

const kernel = defineKernel("tiles", code);

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
  return Math.floor(numRows / height) + numGroups;
}

/** [maxTiles, 2] u32: group and first row of each tile. */
export function tileTable(groups: RowGroups, height: number): Tensor<"u32"> {
  const { groupOffsets, numGroups } = groups;
  const { device } = groupOffsets;
  const tiles = empty(device, [maxTiles(groups, height), 2], "u32");
  device.dispatch({
    kernel,
    bindings: [groupOffsets.binding(), tiles.binding()],
    params: { groups: numGroups, height, max_tiles: maxTiles(groups, height) },
    grid: [Math.ceil((numGroups + 1) / 64)],
  });
  return tiles;
}
