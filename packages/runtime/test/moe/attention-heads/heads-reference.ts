import { route, rowsOf, times } from "../layer-reference.ts";
import { rotated } from "../rotated.ts";

type Values = ArrayLike<number>;

export interface HeadsShape {
  B: number;
  T: number;
  H: number;
  E: number;
  K: number;
  /** Query heads of an expert, and key/value heads. */
  G: number;
  D: number;
  normalizeTopK: boolean;
  bias: boolean;
  /** Stick-breaking attention without positions in place of softmax with rotary ones. */
  stick: boolean;
}

const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, x, i) => sum + x * (b[i] as number), 0);

/** The weights of the keys up to the query's own, in order. */
function stickWeights(logits: readonly number[]): number[] {
  let rest = 1;
  const weights = new Array<number>(logits.length).fill(0);
  for (let j = logits.length - 1; j >= 0; j--) {
    const beta = 1 / (1 + Math.exp(-(logits[j] as number)));
    weights[j] = beta * rest;
    rest *= 1 - beta;
  }
  return weights;
}

function softmaxWeights(logits: readonly number[]): number[] {
  const high = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - high));
  const total = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / total);
}

/**
 * A mixture of attention heads in float64, choice by choice. Parameters in the order of the layer: query and output banks, bias if
 * there is one, router, then the projection to keys and values.
 */
export function referenceHeads(x: Values, values: readonly Values[], c: HeadsShape): number[] {
  const { B, T, H, E, K, G, D } = c;
  const [query, output] = values as [Values, Values];
  const bias = c.bias ? (values[2] as Values) : undefined;
  const [router, keyValue] = values.slice(c.bias ? 3 : 2) as [Values, Values];
  const tokens = rowsOf(x, H);
  const chosen = route(
    tokens.map((token) => times(router, 0, E, token)),
    {
      numTokens: B * T,
      hiddenSize: H,
      intermediateSize: 1,
      numExperts: E,
      topK: K,
      activation: "gelu",
      normalizeTopK: c.normalizeTopK,
    },
  );
  const turn = (row: number[], position: number) => (c.stick ? row : rotated(row, position));
  const shared = tokens.map((token) => times(keyValue, 0, 2 * G * D, token));
  return tokens.flatMap((token, n) => {
    const [first, t] = [n - (n % T), n % T];
    const y = Array.from({ length: H }, (_, o) => (bias ? (bias[o] as number) : 0));
    for (const { expert, weight } of chosen[n] ?? []) {
      const q = times(query, expert * G * D * H, G * D, token);
      const mixed = Array.from({ length: G }, (_, g) => {
        const own = turn(q.slice(g * D, (g + 1) * D), t);
        const logits = Array.from({ length: t + 1 }, (_, s) => {
          const key = turn((shared[first + s] as number[]).slice(g * D, (g + 1) * D), s);
          return dot(own, key) / Math.sqrt(D);
        });
        const weights = c.stick ? stickWeights(logits) : softmaxWeights(logits);
        return Array.from({ length: D }, (_, i) =>
          weights.reduce((sum, w, s) => sum + w * (shared[first + s]?.[(G + g) * D + i] as number), 0),
        );
      }).flat();
      for (const [o, value] of times(output, expert * H * G * D, H, mixed).entries())
        y[o] = (y[o] as number) + weight * value;
    }
    return y;
  });
}

/** Stick-breaking attention in float64. @param mask [B · T] 0 hides a key */
export function referenceStick(
  q: Values,
  k: Values,
  v: Values,
  { B, T, A, Akv, D, mask }: { B: number; T: number; A: number; Akv: number; D: number; mask?: number[] | undefined },
): number[] {
  const [queries, keys, values] = [rowsOf(q, D), rowsOf(k, D), rowsOf(v, D)];
  return Array.from({ length: B * T * A }, (_, row) => {
    const [b, t, a] = [Math.floor(row / (T * A)), Math.floor(row / A) % T, row % A];
    const keyRow = (s: number) => (b * T + s) * Akv + Math.floor((a * Akv) / A);
    const seen = Array.from({ length: t + 1 }, (_, s) => s).filter((s) => (mask?.[b * T + s] ?? 1) !== 0);
    const weights = stickWeights(
      seen.map((s) => dot(queries[row] as number[], keys[keyRow(s)] as number[]) / Math.sqrt(D)),
    );
    return Array.from({ length: D }, (_, i) =>
      seen.reduce((sum, s, j) => sum + (weights[j] as number) * (values[keyRow(s)]?.[i] as number), 0),
    );
  }).flat();
}
