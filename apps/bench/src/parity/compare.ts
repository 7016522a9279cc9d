/** How far values may be from the reference: absolutely, or relative to the tensor's largest reference value. */
export type Tolerance = { absolute: number } | { ofLargest: number };

export interface Comparison {
  name: string;
  count: number;
  maxAbsolute: number;
  /** Largest difference over the largest reference value. */
  maxRelative: number;
  /** Cosine of the angle between the two; 1 for two zero tensors. */
  cosine: number;
  tolerance: string;
  passed: boolean;
}

/**
 * Holds values against a reference's. Values that are not finite, too few or too many fail.
 * @param where which elements the reference defines. Default: all
 */
export function compare(
  name: string,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: Tolerance,
  where: (index: number) => boolean = () => true,
): Comparison {
  let [maxAbsolute, largest, dot, normA, normE, count] = [0, 0, 0, 0, 0, 0];
  let finite = actual.length === expected.length;
  for (let i = 0; i < expected.length; i++) {
    if (!where(i)) continue;
    const [a, e] = [actual[i] ?? Number.NaN, expected[i] as number];
    count++;
    finite &&= Number.isFinite(a);
    maxAbsolute = Math.max(maxAbsolute, Math.abs(a - e));
    largest = Math.max(largest, Math.abs(e));
    dot += a * e;
    normA += a * a;
    normE += e * e;
  }
  const maxRelative = maxAbsolute / (largest || 1);
  const isClose = "absolute" in tolerance ? maxAbsolute <= tolerance.absolute : maxRelative <= tolerance.ofLargest;
  return {
    name,
    count,
    maxAbsolute,
    maxRelative,
    cosine: normA * normE === 0 ? Number(normA === normE) : dot / Math.sqrt(normA * normE),
    tolerance: "absolute" in tolerance ? `${tolerance.absolute} abs` : `${tolerance.ofLargest} rel`,
    passed: finite && count > 0 && isClose,
  };
}
