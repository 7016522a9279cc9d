import { gelu, rowsOf, softmax, times } from "../layer-reference.ts";

type Values = ArrayLike<number>;

export interface MonetShape {
  H: number;
  /** Keys of an axis. */
  M: number;
  heads: number;
  /** Hidden units of one expert. */
  m: number;
  activation?: "relu2" | "gelu";
}

/** [N][heads][M] on each axis. */
export type Gates = [number[][][], number[][][]];

/**
 * The router in float64: g = softmax of the scores whose normalised form reaches min(highest, threshold).
 * @param statistics mean and variance of each head, one list an axis. Default: of the batch
 */
export function referenceGates(
  x: Values,
  projections: readonly [Values, Values],
  { H, M, heads }: MonetShape,
  threshold: number,
  statistics?: readonly { mean: number; variance: number }[][],
): Gates {
  const axis = (weight: Values, own?: readonly { mean: number; variance: number }[]) => {
    const z = rowsOf(x, H).map((row) => rowsOf(times(weight, 0, heads * M, row), M));
    const ofHead = (h: number) => {
      const all = z.flatMap((token) => token[h] as number[]);
      const mean = all.reduce((a, b) => a + b, 0) / all.length;
      return own?.[h] ?? { mean, variance: all.reduce((sum, value) => sum + (value - mean) ** 2, 0) / all.length };
    };
    const used = Array.from({ length: heads }, (_, h) => ofHead(h));
    return z.map((token) =>
      token.map((scores, h) => {
        const { mean, variance } = used[h] as { mean: number; variance: number };
        const normalised = scores.map((score) => (score - mean) / Math.sqrt(variance + 1e-5));
        const least = Math.min(Math.max(...normalised), threshold);
        return softmax(scores.map((score, i) => ((normalised[i] as number) >= least ? score : -1e10)));
      }),
    );
  };
  return [axis(projections[0], statistics?.[0]), axis(projections[1], statistics?.[1])];
}

const activate = (x: number, activation: "relu2" | "gelu" = "relu2") =>
  activation === "gelu" ? gelu(x) : Math.max(x, 0) ** 2;

/** Hidden units of half-expert i of a bank with biases: [size]. */
function hiddenOf(row: number[], weight: Values, bias: Values, i: number, size: number, shape: MonetShape): number[] {
  return times(weight, i * size * shape.H, size, row).map((value, k) =>
    activate(value + (bias[i * size + k] as number), shape.activation),
  );
}

/** Column block i, `hidden.length` wide, of weight [out, M · size] times `hidden`. */
function columns(weight: Values, i: number, hidden: readonly number[], out: number, M: number): number[] {
  const size = hidden.length;
  return Array.from({ length: out }, (_, o) =>
    hidden.reduce((sum, value, k) => sum + value * (weight[o * M * size + i * size + k] as number), 0),
  );
}

const plus = (...terms: number[][]) =>
  (terms[0] as number[]).map((_, o) => terms.reduce((sum, term) => sum + (term[o] as number), 0));

/** E_ij(x) written out. Parameters in the order of HorizontalExperts: b, u.weight, u.bias, v.weight. */
export function horizontalExpert(
  row: number[],
  [b, u, c, v]: readonly Values[],
  shape: MonetShape,
  i: number,
  j: number,
) {
  const { H, M, m } = shape;
  const hidden = hiddenOf(row, u as Values, c as Values, i, m, shape);
  return plus(columns(v as Values, j, hidden, H, M), rowsOf(b as Values, H)[j] as number[]);
}

/** E_ij(x) written out. Parameters in the order of VerticalExperts: b1, b2, u1 and u2 with biases, v11, v12, v21, v22. */
export function verticalExpert(row: number[], values: readonly Values[], shape: MonetShape, i: number, j: number) {
  const [b1, b2, u1, c1, u2, c2, v11, v12, v21, v22] = values as Values[] as [
    Values,
    Values,
    Values,
    Values,
    Values,
    Values,
    Values,
    Values,
    Values,
    Values,
  ];
  const { H, M, m } = shape;
  const p = hiddenOf(row, u1, c1, i, m / 2, shape);
  const q = hiddenOf(row, u2, c2, j, m / 2, shape);
  const half = (ofP: Values, ofQ: Values, key: number, bias: Values) =>
    plus(columns(ofP, key, p, H / 2, M), columns(ofQ, key, q, H / 2, M), rowsOf(bias, H / 2)[key] as number[]);
  return [...half(v11, v12, i, b1), ...half(v21, v22, j, b2)];
}

/** Σ over all M² pairs of w_ij E_ij(x), one by one. @param isOn which pairs count. Default: all */
export function bruteForce(
  x: Values,
  gates: Gates,
  values: readonly Values[],
  shape: MonetShape,
  expert: typeof horizontalExpert,
  isOn: (i: number, j: number) => boolean = () => true,
): number[] {
  const { H, M, heads } = shape;
  return rowsOf(x, H).flatMap((row, n) => {
    const y = new Array<number>(H).fill(0);
    for (let i = 0; i < M; i++)
      for (let j = 0; j < M; j++) {
        if (!isOn(i, j)) continue;
        let weight = 0;
        for (let h = 0; h < heads; h++) weight += (gates[0][n]?.[h]?.[i] as number) * (gates[1][n]?.[h]?.[j] as number);
        for (const [o, value] of expert(row, values, shape, i, j).entries()) y[o] = (y[o] as number) + weight * value;
      }
    return y;
  });
}
