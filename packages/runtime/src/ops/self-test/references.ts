/** Float64 counterparts that several cases of the self-test share. */

export function at(values: Float64Array | undefined, index: number): number {
  return values?.[index] ?? 0;
}

export function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

export function rowsOf(x: Float64Array, width: number): number[][] {
  return Array.from({ length: x.length / width }, (_, n) => [...x.subarray(n * width, (n + 1) * width)]);
}

/** x [rows, inner] times the transpose of weight [columns, inner]. */
export function product(
  x: Float64Array,
  weight: Float64Array,
  { rows, inner, columns }: { rows: number; inner: number; columns: number },
): Float64Array {
  return Float64Array.from({ length: rows * columns }, (_, i) => {
    const [row, column] = [Math.floor(i / columns), i % columns];
    let y = 0;
    for (let k = 0; k < inner; k++) y += at(x, row * inner + k) * at(weight, column * inner + k);
    return y;
  });
}

/** Causal attention of one sequence: q [queries, heads, dim], k and v [keys, shared, dim]. */
export function attentionReference(
  q: Float64Array,
  k: Float64Array,
  v: Float64Array,
  { queries, keys, heads, shared, dim }: Record<"queries" | "keys" | "heads" | "shared" | "dim", number>,
): Float64Array {
  const out = new Float64Array(q.length);
  for (let t = 0; t < queries; t++)
    for (let head = 0; head < heads; head++) {
      const query = (t * heads + head) * dim;
      const key = (s: number) => (s * shared + Math.floor((head * shared) / heads)) * dim;
      const weights = Array.from({ length: keys - queries + t + 1 }, (_, s) => {
        let score = 0;
        for (let d = 0; d < dim; d++) score += at(q, query + d) * at(k, key(s) + d);
        return Math.exp(score / Math.sqrt(dim));
      });
      const total = weights.reduce((a, b) => a + b);
      for (const [s, weight] of weights.entries())
        for (let d = 0; d < dim; d++) out[query + d] = at(out, query + d) + (weight / total) * at(v, key(s) + d);
    }
  return out;
}
