import type { Device } from "../device/device.ts";

/** Lanes of a workgroup without subgroups: as many as keep a tile at 32 columns. */
export const PLAIN_LANES = 8;

/** What was measured to win on an adapter. */
interface CoreTable {
  /** Rows and columns from which copying an operand into panels is paid back by the faster core: 1/m + 1/n must be below 1 over it. */
  panelBreakEven: number;
  /** Columns from which the weight-gradient core takes two quads a lane. */
  wideColumns: number;
}

/**
 * By adapter class and subgroup size. lavapipe, Mesa 25.0.7, two cores, November 2026: panels 55 Gflop/s against 38, two quads 54
 * against 43, packing at the bandwidth of a copy. Elsewhere large tiles spill (SwiftShader has four lanes) or were not measured.
 */
const TABLE: Readonly<Record<string, CoreTable>> = {
  "software 8": { panelBreakEven: 90, wideColumns: 64 },
};

function tableOf({ adapterClass }: Device, subgroupSize: number): CoreTable | undefined {
  return TABLE[`${adapterClass} ${subgroupSize}`];
}

/** Whether C [m, n] = A · B with inner length k is faster from packed operands; m is the mean of a group's rows. */
export function paysForPanels(
  device: Device,
  { m, n, k, subgroupSize }: { m: number; n: number; k: number; subgroupSize: number },
): boolean {
  const table = tableOf(device, subgroupSize);
  return table !== undefined && k >= 32 && 1 / m + 1 / n < 1 / table.panelBreakEven;
}

/** Quads of columns a lane owns in Aᵀ · B [m, n]. */
export function columnQuads(
  device: Device,
  { m, n, subgroupSize }: { m: number; n: number; subgroupSize: number },
): 1 | 2 {
  const table = tableOf(device, subgroupSize);
  return table !== undefined && n >= table.wideColumns && m >= 32 ? 2 : 1;
}
