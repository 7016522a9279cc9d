import type { Device } from "../device/device.ts";

/** Lanes of a workgroup without subgroups: as many as keep a tile at 32 columns. */
export const PLAIN_LANES = 8;

/** Whether C [m, n] = A · B with inner length k is faster from packed operands; m is the mean of a group's rows. */
export function paysForPanels({ tuning }: Device, { m, n, k }: { m: number; n: number; k: number }): boolean {
  const { panelBreakEven } = tuning;
  return panelBreakEven !== null && k >= 32 && panelBreakEven * (1 / m + 1 / n) < 1;
}

/** Quads of columns a lane owns in Aᵀ · B [m, n]. */
export function columnQuads({ tuning }: Device, { m, n }: { m: number; n: number }): 1 | 2 {
  const { wideColumns } = tuning;
  return wideColumns !== null && n >= wideColumns && m >= 32 ? 2 : 1;
}
