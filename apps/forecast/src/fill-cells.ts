import type { Fill } from "./options.ts";

/**
 * Fills empty cells (NaN) in place, as gaps are filled; before the first value and after the last, its neighbour is repeated.
 * @returns how many were filled
 */
export function fillCells(values: Float64Array, fill: Fill): number {
  let filled = 0;
  for (let i = 0; i < values.length; i++) {
    if (!Number.isNaN(values[i])) continue;
    let next = i;
    while (next < values.length && Number.isNaN(values[next])) next++;
    const before = values[i - 1] ?? values[next] ?? 0;
    const after = fill === "interpolate" ? (values[next] ?? before) : before;
    for (let k = i; k < next; k++)
      values[k] = fill === "zero" ? 0 : before + ((after - before) * (k - i + 1)) / (next - i + 1);
    filled += next - i;
    i = next;
  }
  return filled;
}
