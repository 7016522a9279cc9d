import { defineKernel } from "../device/kernel.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import code from "./panels.wgsl";
import { maxTiles, type RowGroups } from "./row-tiles.ts";
import stored from "./stored.wgsl";
import tiles from "./tiles.wgsl";

type F32 = Tensor<"f32">;

const kernel = defineKernel("panels", code, { stored, tiles });

/** Threads of a workgroup. */
const THREADS = 64;

interface PanelOptions {
  /** Matrices one after another in x. */
  matrices: number;
  /** Rows of each. */
  rows: number;
  lanes: number;
  /** Panels hold rows of one group each; rows are gathered if the groups say so. */
  groups?: RowGroups | undefined;
  /** Each matrix belongs to a group; those of empty groups are left out. */
  matrixGroups?: RowGroups | undefined;
}

/**
 * Copies rows into panels of 4 · lanes rows, k after k: what the fast core of the product reads.
 * @param x [..., rows, k]
 * @returns [matrices · panels, 4 · ceil(k / 4), 4 · lanes]
 */
export function packPanels(x: F32, { matrices, rows, lanes, groups, matrixGroups }: PanelOptions): F32 {
  const { device } = x;
  const height = 4 * lanes;
  const k = x.axis(-1);
  const quads = Math.ceil(k / 4);
  const count = groups ? maxTiles(groups, height) : Math.ceil(rows / height);
  const panels = empty(device, [matrices * count, 4 * quads, height], "f32");
  const gather = groups?.sourceRow;
  device.dispatch({
    kernel,
    defines: {
      LANES: lanes,
      ROWS: height,
      VEC: k % 4 === 0,
      STORED: x.storage !== "32 bit" && x.storage,
      GROUPED: groups !== undefined,
      OF_GROUPS: matrixGroups !== undefined,
      GATHER: gather !== undefined,
    },
    bindings: [
      x.bindingAsStored(),
      panels.binding(),
      ...(groups ? [groups.groupOffsets.binding()] : []),
      ...(matrixGroups ? [matrixGroups.groupOffsets.binding()] : []),
      ...(gather ? [gather.binding()] : []),
    ],
    params: { rows, k, k_quads: quads, stride: rows * k, groups: groups?.numGroups ?? 0 },
    grid: [Math.ceil(quads / (THREADS / lanes)), count, matrices],
    bytes: matrices * rows * k * (x.sizeBytes / x.size) + 4 * panels.size,
  });
  return panels;
}
