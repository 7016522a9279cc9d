import { ValueError } from "@moebius/runtime/device";

export interface ContextOptions {
  /** Most points to take. */
  length: number;
  /** Position in the series after the last point. Default: its end. */
  end?: number;
  /** What to do with NaN: fail, or fill by straight lines between the neighbours. NaN at the context's start is cut off. */
  missing: "error" | "interpolate";
}

/**
 * The points of a series before `end`, ready to be forecast from.
 * @returns empty when there is no value among them
 * @throws {ValueError} naming series and position of what is not a number to work with
 */
export function readContext(
  series: ArrayLike<number>,
  index: number,
  { length, end = series.length, missing }: ContextOptions,
): Float64Array<ArrayBuffer> {
  let start = Math.max(0, end - length);
  while (start < end && Number.isNaN(series[start])) start++;
  const values = Float64Array.from({ length: end - start }, (_, i) => series[start + i] as number);
  const bad = values.findIndex((x) => !(Number.isFinite(x) || (missing === "interpolate" && Number.isNaN(x))));
  if (bad >= 0)
    throw new ValueError(
      `series ${index} has ${values[bad]} at position ${start + bad}; expected a finite number${Number.isNaN(values[bad]) ? ' (missing: "interpolate" fills gaps)' : ""}`,
    );
  bridgeGaps(values);
  return values;
}

/** Straight lines over gaps; a gap at the end repeats the last value. The first value is there. */
function bridgeGaps(values: Float64Array): void {
  for (let i = 1; i < values.length; i++) {
    if (!Number.isNaN(values[i])) continue;
    let next = i;
    while (next < values.length && Number.isNaN(values[next])) next++;
    const before = values[i - 1] as number;
    const after = values[next] ?? before;
    for (let k = i; k < next; k++) values[k] = before + ((after - before) * (k - i + 1)) / (next - i + 1);
    i = next;
  }
}
