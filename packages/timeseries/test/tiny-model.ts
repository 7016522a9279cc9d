import { RandomKey } from "@moebius/runtime/tensor";
import { testDevice } from "@moebius/testing";
import { TimeMoe, type TimeMoeConfigInput } from "@moebius/timeseries";

export const TINY = {
  hidden_size: 16,
  intermediate_size: 16,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_experts: 4,
  num_experts_per_tok: 2,
  horizon_lengths: [1, 4, 8],
  max_position_embeddings: 128,
} satisfies TimeMoeConfigInput;

/** A model whose random weights are wide enough for clear choices of the router and visible differences in the output. */
export async function tinyModel(config: Partial<TimeMoeConfigInput> = {}, seed = 1): Promise<TimeMoe> {
  const model = new TimeMoe(await testDevice(), { ...TINY, ...config });
  const values = new Map<string, Float32Array<ArrayBuffer>>();
  for (const [name, { size, shape }] of model.parameters()) {
    const random = new RandomKey(seed).split(name).normal(size);
    const spread = name.endsWith(".gate.weight") ? 1 : 1 / Math.sqrt(shape.at(-1) ?? 1);
    values.set(name, name.includes("norm") ? random.map((x) => 1 + 0.2 * x) : random.map((x) => spread * x));
  }
  model.load(values);
  return model;
}

/** A season of 12 with noise. */
export function noisySeason(length: number, seed = 1): Float64Array<ArrayBuffer> {
  const noise = new RandomKey(seed).normal(length);
  return Float64Array.from(noise, (x, t) => 50 + 10 * Math.sin((2 * Math.PI * t) / 12) + 2 * x);
}

/** Largest |a − b|. */
export function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  return Array.from(a).reduce((most, x, i) => Math.max(most, Math.abs(x - (b[i] as number))), 0);
}
