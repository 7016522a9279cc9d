export interface ReferenceCase {
  B: number;
  T: number;
  S: number;
  A: number;
  Akv?: number;
  D: number;
  causal?: boolean;
  slidingWindow?: number;
  queryOffset?: number;
  keyLength?: number;
  scale?: number;
  /** [B, S] */
  mask?: ArrayLike<number>;
}

/** Attention as its formula says, in float64, with all scores of a query at once. */
export function attentionReference(c: ReferenceCase, q: Float64Array, k: Float64Array, v: Float64Array): Float64Array {
  const { B, T, S, A, D, Akv = A, causal = false, slidingWindow = Number.POSITIVE_INFINITY, mask } = c;
  const { keyLength = S, queryOffset = keyLength - T, scale = 1 / Math.sqrt(D) } = c;
  const out = new Float64Array(B * T * A * D);
  for (let b = 0; b < B; b++)
    for (let t = 0; t < T; t++)
      for (let a = 0; a < A; a++) {
        const row = ((b * T + t) * A + a) * D;
        const keyRow = (s: number) => ((b * S + s) * Akv + Math.floor((a * Akv) / A)) * D;
        const keys = Array.from({ length: keyLength }, (_, s) => s).filter((s) => {
          const distance = t + queryOffset - s;
          return (!causal || distance >= 0) && Math.abs(distance) < slidingWindow && (mask?.[b * S + s] ?? 1) !== 0;
        });
        const scores = keys.map((s) => {
          let score = 0;
          for (let d = 0; d < D; d++) score += (q[row + d] ?? 0) * (k[keyRow(s) + d] ?? 0);
          return scale * score;
        });
        const largest = Math.max(...scores);
        const weights = scores.map((score) => Math.exp(score - largest));
        const total = weights.reduce((x, y) => x + y, 0);
        for (const [n, s] of keys.entries())
          for (let d = 0; d < D; d++)
            out[row + d] = (out[row + d] ?? 0) + ((weights[n] ?? 0) / total) * (v[keyRow(s) + d] ?? 0);
      }
  return out;
}
