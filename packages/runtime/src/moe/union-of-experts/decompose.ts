import { ShapeError } from "../../device/errors.ts";

type Values = Float32Array<ArrayBuffer>;

/** A linear layer as checkpoints store it: weight [out, in], bias [out]. */
export interface DenseLinear {
  weight: Values;
  bias: Values;
}

/** W₂ act(W₁ x + b₁) + b₂. */
export interface DenseFeedForward {
  up: DenseLinear;
  down: DenseLinear;
}

/** Multi-head attention with as many key/value heads as query heads, head by head. */
export interface DenseAttention {
  query: DenseLinear;
  key: DenseLinear;
  value: DenseLinear;
  output: DenseLinear;
}

/**
 * Cuts a dense MLP into experts whose sum it is: expert e gets a share of the hidden units, and 1/E of the output bias.
 * @returns the values of UnionFeedForward's `linear1` and `linear2` by name
 * @throws {ShapeError} when the sizes do not divide
 * @see Yang et al. 2025, arXiv:2503.02495: equivalent decomposition
 */
export function decomposeFeedForward({ up, down }: DenseFeedForward, numExperts: number): Map<string, Values> {
  return new Map([
    ["linear1.weight.0", byColumns(up, numExperts)],
    ["linear1.bias.0", up.bias.slice()],
    ["linear2.weight.0", byRows(down, numExperts)],
    ["linear2.bias", shareBias(down, numExperts)],
  ]);
}

/** The dense MLP that the sum of all experts is. @throws {ShapeError} for values that are not there */
export function composeFeedForward(parameters: ReadonlyMap<string, Values>, numExperts: number): DenseFeedForward {
  const of = (name: string) => valuesOf(parameters, name);
  return {
    up: fromColumns(of("linear1.weight.0"), of("linear1.bias.0"), numExperts),
    down: fromRows(of("linear2.weight.0"), of("linear2.bias"), numExperts),
  };
}

/**
 * Cuts multi-head attention into one expert a head: its slices of the projections, its rows of the output projection, and 1/E of
 * the output bias.
 * @returns the values of UnionAttention's `W_q`, `W_kv` and `ff` by name
 * @throws {ShapeError} when the sizes do not divide
 */
export function decomposeAttention(dense: DenseAttention, numExperts: number): Map<string, Values> {
  const { query, key, value, output } = dense;
  const headDim = query.bias.length / numExperts;
  return new Map([
    ["W_q.weight.0", byColumns(query, numExperts)],
    ["W_q.bias.0", query.bias.slice()],
    ["W_kv.weight.0", interleave(byColumns(key, numExperts), byColumns(value, numExperts), headDim)],
    ["W_kv.bias.0", interleave(key.bias, value.bias, headDim)],
    ["ff.weight.0", byRows(output, numExperts)],
    ["ff.bias", shareBias(output, numExperts)],
  ]);
}

/** The multi-head attention that the sum of all experts is. @throws {ShapeError} for values that are not there */
export function composeAttention(parameters: ReadonlyMap<string, Values>, numExperts: number): DenseAttention {
  const of = (name: string) => valuesOf(parameters, name);
  const headDim = of("W_q.bias.0").length / numExperts;
  const half = (which: 0 | 1) => {
    const [weight, bias] = [halfOf(of("W_kv.weight.0"), headDim, which), halfOf(of("W_kv.bias.0"), headDim, which)];
    return fromColumns(weight, bias, numExperts);
  };
  return {
    query: fromColumns(of("W_q.weight.0"), of("W_q.bias.0"), numExperts),
    key: half(0),
    value: half(1),
    output: fromRows(of("ff.weight.0"), of("ff.bias"), numExperts),
  };
}

/** [out, in] to [E, in, out / E]. */
function byColumns({ weight, bias }: DenseLinear, numExperts: number): Values {
  const inFeatures = weight.length / bias.length;
  const part = divide("outputs", bias.length, numExperts);
  return weight.map((_, i) => {
    const [rest, column] = [Math.floor(i / part), i % part];
    const [expert, row] = [Math.floor(rest / inFeatures), rest % inFeatures];
    return weight[(expert * part + column) * inFeatures + row] as number;
  });
}

function fromColumns(weight: Values, bias: Values, numExperts: number): DenseLinear {
  const [inFeatures, part] = [weight.length / bias.length, bias.length / numExperts];
  const dense = weight.map((_, i) => {
    const [column, row] = [Math.floor(i / inFeatures), i % inFeatures];
    return weight[(Math.floor(column / part) * inFeatures + row) * part + (column % part)] as number;
  });
  return { weight: dense, bias: bias.slice() };
}

/** [out, in] to [E, in / E, out]: the transpose, whose rows the experts divide. */
function byRows({ weight, bias }: DenseLinear, numExperts: number): Values {
  divide("inputs", weight.length / bias.length, numExperts);
  return transposed(weight, bias.length);
}

function fromRows(weight: Values, biases: Values, numExperts: number): DenseLinear {
  const outFeatures = biases.length / numExperts;
  const bias = Float32Array.from({ length: outFeatures }, (_, i) => {
    let sum = 0;
    for (let e = 0; e < numExperts; e++) sum += biases[e * outFeatures + i] as number;
    return sum;
  });
  return { weight: transposed(weight, weight.length / outFeatures), bias };
}

/** [rows, columns] to [columns, rows]. */
function transposed(values: Values, rows: number): Values {
  const columns = values.length / rows;
  return values.map((_, i) => values[(i % rows) * columns + Math.floor(i / rows)] as number);
}

function shareBias({ bias }: DenseLinear, numExperts: number): Values {
  const share = (_: unknown, i: number) => (bias[i % bias.length] as number) / numExperts;
  return Float32Array.from({ length: numExperts * bias.length }, share);
}

/** Runs of `width` values, one of each in turn. */
function interleave(a: Values, b: Values, width: number): Values {
  return Float32Array.from({ length: a.length + b.length }, (_, i) => {
    const [pair, at] = [Math.floor(i / (2 * width)), i % (2 * width)];
    return (at < width ? a[pair * width + at] : b[pair * width + at - width]) as number;
  });
}

/** One half of what interleave joined. */
function halfOf(values: Values, width: number, which: 0 | 1): Values {
  const of = (_: unknown, i: number) => values[(2 * Math.floor(i / width) + which) * width + (i % width)] as number;
  return Float32Array.from({ length: values.length / 2 }, of);
}

function divide(what: string, length: number, numExperts: number): number {
  if (!Number.isInteger(length / numExperts))
    throw new ShapeError(`decompose: ${length} ${what} do not divide among ${numExperts} experts`);
  return length / numExperts;
}

function valuesOf(parameters: ReadonlyMap<string, Values>, name: string): Values {
  const values = parameters.get(name);
  if (!values) throw new ShapeError(`compose: no values for ${name}`);
  return values;
}
