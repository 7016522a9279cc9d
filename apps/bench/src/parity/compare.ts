/** How far values may be from the reference. */
export interface Tolerance {
  /** Largest absolute difference. */
  absolute?: number;
  /** Largest difference relative to the tensor's largest reference value. */
  ofLargest?: number;
}

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

/** Values that are not finite, or missing, fail. */
export function compare(
  name: string,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  { absolute, ofLargest }: Tolerance,
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
  const passed =
    finite &&
    count > 0 &&
    maxAbsolute <= (absolute ?? Number.POSITIVE_INFINITY) &&
    maxRelative <= (ofLargest ?? Number.POSITIVE_INFINITY);
  const tolerance = absolute !== undefined ? `${absolute} abs` : `${ofLargest} rel`;
  return {
    name,
    count,
    maxAbsolute,
    maxRelative,
    cosine: normA * normE === 0 ? Number(normA === normE) : dot / Math.sqrt(normA * normE),
    tolerance,
    passed,
  };
}
