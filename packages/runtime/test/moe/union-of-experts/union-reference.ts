import { gelu, rowsOf, softmax } from "../layer-reference.ts";
import { rotated } from "../rotated.ts";

type Values = ArrayLike<number>;

export interface UnionShape {
  B: number;
  T: number;
  H: number;
  E: number;
  topK: number;
  /** Hidden units, or head size, of one expert. */
  part: number;
}

/** Parameters in the order of the layers': gate weight and bias, norm weight and bias, then the linear layers. */
export type UnionValues = readonly Values[];

/** W x + b for W [in, out] of expert e in a bank. */
function banked(weight: Values, bias: Values, e: number, x: readonly number[], out: number): number[] {
  return Array.from({ length: out }, (_, o) =>
    x.reduce(
      (sum, value, i) => sum + value * (weight[(e * x.length + i) * out + o] as number),
      bias[e * out + o] as number,
    ),
  );
}

/** [B · T][E] softmax probabilities, 0 beside each token's K largest. */
export function keptScores(x: Values, [weight, bias]: UnionValues, { H, E, topK }: UnionShape): number[][] {
  return rowsOf(x, H).map((row) => {
    const logits = Array.from({ length: E }, (_, e) =>
      row.reduce(
        (sum, value, i) => sum + value * ((weight as Values)[e * H + i] as number),
        (bias as Values)[e] as number,
      ),
    );
    const probs = softmax(logits);
    const best = [...probs.keys()].sort((a, b) => (probs[b] as number) - (probs[a] as number)).slice(0, topK);
    return probs.map((p, e) => (best.includes(e) ? p : 0));
  });
}

/** The largest number of positive scores of any expert in any sequence. */
export function largestCount(kept: readonly number[][], { B, T, E }: UnionShape): number {
  const count = (e: number, b: number) => kept.slice(b * T, (b + 1) * T).filter((row) => (row[e] as number) > 0).length;
  return Math.max(...Array.from({ length: E * B }, (_, i) => count(i % E, Math.floor(i / E))));
}

/** [E][B] the n tokens of highest score in ascending order, the lowest positions first among equals. */
export function referenceSelection(kept: readonly number[][], { B, T, E }: UnionShape, n: number): number[][][] {
  return Array.from({ length: E }, (_, e) =>
    Array.from({ length: B }, (_, b) => {
      const score = (t: number) => {
        const column = Array.from({ length: B }, (_, other) => kept[other * T + t]?.[e] as number);
        return (kept[b * T + t]?.[e] as number) / (column.reduce((x, y) => x + y, 0) + 1e-8);
      };
      const byScore = [...Array(T).keys()].sort((a, b) => score(b) - score(a) || a - b);
      return byScore.slice(0, n).sort((a, b) => a - b);
    }),
  );
}

/** What an expert adds to token t of its sequence. */
interface Contribution {
  t: number;
  y: number[];
}

interface Run {
  selection: readonly number[][][];
  preNorm?: boolean;
  /** Factor of an expert's output for token n = b · T + t. Default 1. */
  factor?: (n: number, e: number) => number;
}

/** x + Σ over the experts that took a token of factor · expert(token), and LayerNorm over it unless `preNorm`. */
function combine(
  x: Values,
  { B, T, H, E }: UnionShape,
  [, , gain, shift]: UnionValues,
  { preNorm = false, factor = () => 1 }: Run,
  expert: (e: number, b: number, rows: number[][]) => Contribution[],
): number[] {
  const tokens = rowsOf(x, H);
  const sums = tokens.map((row) => [...row]);
  for (let e = 0; e < E; e++)
    for (let b = 0; b < B; b++)
      for (const { t, y } of expert(e, b, tokens.slice(b * T, (b + 1) * T))) {
        const n = b * T + t;
        sums[n] = (sums[n] as number[]).map((value, i) => value + factor(n, e) * (y[i] as number));
      }
  if (preNorm) return sums.flat();
  return sums.flatMap((row) => {
    const mean = row.reduce((a, b) => a + b, 0) / H;
    const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / H;
    return row.map((value, i) => {
      const [w, b] = [(gain as Values)[i] as number, (shift as Values)[i] as number];
      return ((value - mean) / Math.sqrt(variance + 1e-5)) * w + b;
    });
  });
}

export function referenceFeedForward(x: Values, values: UnionValues, shape: UnionShape, run: Run): number[] {
  const [w1, b1, w2, b2] = values.slice(4) as [Values, Values, Values, Values];
  return combine(x, shape, values, run, (e, b, rows) =>
    (run.selection[e]?.[b] ?? []).map((t) => {
      const hidden = banked(w1, b1, e, rows[t] as number[], shape.part).map(gelu);
      return { t, y: banked(w2, b2, e, hidden, shape.H) };
    }),
  );
}

interface AttentionRun extends Run {
  causal?: boolean;
  /** Tokens in front [B, M, H] and which of them each expert took. */
  memory?: { values: Values; selection: readonly number[][][] };
}

export function referenceAttention(x: Values, values: UnionValues, shape: UnionShape, run: AttentionRun): number[] {
  const { B, H, part: D } = shape;
  const { selection, causal = true, memory } = run;
  const [wq, bq, wkv, bkv, wo, bo] = values.slice(4) as [Values, Values, Values, Values, Values, Values];
  const earlier = memory ? rowsOf(memory.values, H) : [];
  return combine(x, shape, values, run, (e, b, rows) => {
    const taken = selection[e]?.[b] ?? [];
    const past = (memory?.selection[e]?.[b] ?? []).map((t) => earlier[(b * earlier.length) / B + t] as number[]);
    const keyRows = [...past, ...taken.map((t) => rows[t] as number[])].map((row) => banked(wkv, bkv, e, row, 2 * D));
    const keys = keyRows.map((row, j) => rotated(row.slice(0, D), j));
    return taken.map((t, rank) => {
      const query = rotated(banked(wq, bq, e, rows[t] as number[], D), rank);
      const visible = keys.slice(0, causal ? past.length + rank + 1 : keys.length);
      const weights = softmax(
        visible.map((key) => key.reduce((sum, value, i) => sum + value * (query[i] as number), 0) / Math.sqrt(D)),
      );
      const mixed = Array.from({ length: D }, (_, i) =>
        weights.reduce((sum, weight, j) => sum + weight * (keyRows[j]?.[D + i] as number), 0),
      );
      return { t, y: banked(wo, bo, e, mixed, H) };
    });
  });
}
