/** A mixture-of-experts layer in float64 on plain arrays: weights as checkpoints store them, [out, in]. */
export interface ReferenceLayer {
  numTokens: number;
  hiddenSize: number;
  intermediateSize: number;
  numExperts: number;
  topK: number;
  activation: "swiglu" | "gelu";
  normalizeTopK?: boolean;
  /** Rows an expert takes, served in token order. */
  capacity?: number;
  /** [N] 0 = padding */
  mask?: readonly number[];
}

type Values = ArrayLike<number>;

/** By its power series, which 60 terms carry past 1e-9 for |x| < 4. */
function erf(x: number): number {
  let [term, sum] = [x, x];
  for (let n = 1; n < 60; n++) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

const silu = (x: number) => x / (1 + Math.exp(-x));
export const gelu = (x: number) => 0.5 * x * (1 + erf(x / Math.SQRT2));

/** y = W x for W [out, in] that starts at `base`. */
export function times(weight: Values, base: number, out: number, x: readonly number[]): number[] {
  return Array.from({ length: out }, (_, o) =>
    x.reduce((sum, value, i) => sum + (weight[base + o * x.length + i] as number) * value, 0),
  );
}

export function softmax(x: readonly number[]): number[] {
  const high = Math.max(...x);
  const powers = x.map((value) => Math.exp(value - high));
  const total = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / total);
}

export function rowsOf(x: Values, width: number): number[][] {
  return Array.from({ length: x.length / width }, (_, row) =>
    Array.from({ length: width }, (_, i) => x[row * width + i] as number),
  );
}

/** One feed-forward block, gated when `gate` is given. `expert` says which of a stack of them. */
export function feedForward(
  x: readonly number[],
  { gate, up, down, expert = 0, size }: { gate?: Values; up: Values; down: Values; expert?: number; size: number },
): number[] {
  const base = expert * size * x.length;
  const raised = times(up, base, size, x);
  const gates = gate && times(gate, base, size, x);
  const hidden = gates ? raised.map((value, i) => silu(gates[i] as number) * value) : raised.map(gelu);
  return times(down, base, x.length, hidden);
}

/** Which experts each token has and with what weight; `dropped` ones are absent. */
export function route(logits: readonly number[][], layer: ReferenceLayer): { expert: number; weight: number }[][] {
  const { numExperts, topK, normalizeTopK = false, capacity = Number.POSITIVE_INFINITY, mask } = layer;
  const load = new Array<number>(numExperts).fill(0);
  return logits.map((row, token) => {
    const probs = softmax(row);
    const best = [...probs.keys()].sort((a, b) => (probs[b] as number) - (probs[a] as number)).slice(0, topK);
    const total = normalizeTopK ? best.reduce((sum, e) => sum + (probs[e] as number), 0) : 1;
    return best.flatMap((expert) => {
      if (mask?.[token] === 0 || (load[expert] as number) >= capacity) return [];
      load[expert] = (load[expert] as number) + 1;
      return [{ expert, weight: (probs[expert] as number) / total }];
    });
  });
}

export interface LayerWeights {
  router: Values;
  gate?: Values;
  up: Values;
  down: Values;
  shared?: { gate: Values; up: Values; down: Values; size: number; sharedGate: Values };
}

export function referenceLayer(x: Values, weights: LayerWeights, layer: ReferenceLayer): number[] {
  const tokens = rowsOf(x, layer.hiddenSize);
  const logits = tokens.map((token) => times(weights.router, 0, layer.numExperts, token));
  const chosen = route(logits, layer);
  return tokens.flatMap((token, n) => {
    const y = new Array<number>(layer.hiddenSize).fill(0);
    const addScaled = (factor: number, values: number[]) => {
      for (const [i, value] of values.entries()) y[i] = (y[i] as number) + factor * value;
    };
    for (const { expert, weight } of chosen[n] ?? [])
      addScaled(weight, feedForward(token, { ...weights, expert, size: layer.intermediateSize }));
    const { shared } = weights;
    if (shared) {
      const gate = times(shared.sharedGate, 0, 1, token)[0] as number;
      addScaled(1 / (1 + Math.exp(-gate)), feedForward(token, shared));
    }
    return y;
  });
}

/** The smallest distance between two probabilities of a token: what a finite difference may move without changing the choice. */
export function smallestGap(x: Values, router: Values, { hiddenSize, numExperts }: ReferenceLayer): number {
  const gaps = rowsOf(x, hiddenSize).flatMap((token) => {
    const sorted = softmax(times(router, 0, numExperts, token)).sort((a, b) => a - b);
    return sorted.slice(1).map((value, i) => value - (sorted[i] as number));
  });
  return Math.min(...gaps);
}
