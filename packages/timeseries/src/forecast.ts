import { ShapeError, ValueError } from "@moebius/runtime/device";
import { tensor } from "@moebius/runtime/tensor";
import { generate } from "./generate.ts";
import type { TimeMoeModel } from "./model.ts";
import { denormalise, type Normalisation, normalisationOf, normalise } from "./normalise.ts";

export interface PointForecastOptions {
  /** Number of points to predict. */
  horizon: number;
  /** Most points of history to look at. Default: as many as the model's positions allow, at most 512. */
  context?: number;
  /** What to do with NaN inside a series: fail (default), or fill by straight lines between the neighbours. NaN at its start is cut off. */
  missing?: "error" | "interpolate";
  /** Series computed at once. Default 32. */
  batchSize?: number;
  useCache?: boolean;
  onProgress?: (event: { stage: "forecast"; done: number; total: number }) => void;
}

const DEFAULT_CONTEXT = 512;

/**
 * Forecasts several series: each one's context is normalised by its own mean and unbiased standard deviation, continued, and
 * scaled back. Shorter contexts are padded on the left and masked. A constant series gets a constant forecast.
 * @returns a forecast of `horizon` points a series
 * @throws {ValueError} for an empty series, a value that is not finite, or a forecast that is not; names series and position
 */
export async function forecastPoints(
  model: TimeMoeModel,
  series: readonly ArrayLike<number>[],
  options: PointForecastOptions,
): Promise<Float64Array<ArrayBuffer>[]> {
  const { horizon, missing = "error", batchSize = 32, useCache = true, onProgress } = options;
  const context = contextLength(model, options);
  const prepared = series.map((values, index) => prepare(values, index, context, missing));
  const results: Float64Array<ArrayBuffer>[] = [];
  for (let start = 0; start < prepared.length; start += batchSize) {
    const batch = prepared.slice(start, start + batchSize);
    results.push(...(await forecastBatch(model, batch, horizon, useCache)));
    onProgress?.({ stage: "forecast", done: results.length, total: prepared.length });
  }
  for (const [index, values] of results.entries())
    if (!values.every(Number.isFinite))
      throw new ValueError(
        `forecast of series ${index}: the model gave a value that is not finite; the checkpoint may be damaged`,
      );
  return results;
}

/** @throws {ShapeError} when horizon and context do not fit the model's positions */
export function contextLength(
  model: TimeMoeModel,
  { horizon, context }: Pick<PointForecastOptions, "horizon" | "context">,
): number {
  const positions = model.config.max_position_embeddings;
  if (!Number.isInteger(horizon) || horizon < 1)
    throw new ShapeError(`forecast: horizon must be a positive integer, got ${horizon}`);
  if (horizon >= positions)
    throw new ShapeError(
      `forecast: a horizon of ${horizon} leaves no context; the model has ${positions} positions (max_position_embeddings)`,
    );
  const length = context ?? Math.min(DEFAULT_CONTEXT, positions - horizon);
  if (!Number.isInteger(length) || length < 1 || length + horizon > positions)
    throw new ShapeError(
      `forecast: context ${length} and horizon ${horizon} must be positive and together at most ${positions} (max_position_embeddings)`,
    );
  return length;
}

interface Prepared {
  values: Float32Array<ArrayBuffer>;
  normalisation: Normalisation;
}

function prepare(
  series: ArrayLike<number>,
  index: number,
  context: number,
  missing: "error" | "interpolate",
): Prepared {
  let values = Float64Array.from(series).subarray(-context);
  const first = values.findIndex((x) => !Number.isNaN(x));
  if (first < 0) throw new ValueError(`forecast: series ${index} has no values`);
  values = values.subarray(first);
  const bad = values.findIndex((x) => !Number.isFinite(x));
  if (bad >= 0) {
    const found = values[bad] as number;
    if (!Number.isNaN(found) || missing === "error")
      throw new ValueError(
        `forecast: series ${index} has ${found} at position ${series.length - values.length + bad}; expected a finite number${Number.isNaN(found) ? ' (missing: "interpolate" fills gaps)' : ""}`,
      );
    values = interpolate(values);
  }
  const normalisation = normalisationOf(values, 1);
  return { values: normalise(values, normalisation), normalisation };
}

/** Straight lines over gaps; a gap at the end repeats the last value. The first value is there. */
function interpolate(values: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
  const filled = values.slice();
  for (let i = 1; i < filled.length; i++) {
    if (!Number.isNaN(filled[i])) continue;
    let next = i;
    while (next < filled.length && Number.isNaN(filled[next])) next++;
    const before = filled[i - 1] as number;
    const after = next < filled.length ? (filled[next] as number) : before;
    for (let k = i; k < next; k++) filled[k] = before + ((after - before) * (k - i + 1)) / (next - i + 1);
    i = next;
  }
  return filled;
}

async function forecastBatch(
  model: TimeMoeModel,
  batch: readonly Prepared[],
  horizon: number,
  useCache: boolean,
): Promise<Float64Array<ArrayBuffer>[]> {
  const length = Math.max(...batch.map(({ values }) => values.length));
  const padded = new Float32Array(batch.length * length);
  const mask = new Float32Array(padded.length);
  for (const [row, { values }] of batch.entries()) {
    const start = (row + 1) * length - values.length;
    padded.set(values, start);
    mask.fill(1, start, (row + 1) * length);
  }
  const isPadded = mask.includes(0);
  using values = tensor(model.device, padded, [batch.length, length]);
  using maskTensor = isPadded ? tensor(model.device, mask, [batch.length, length]) : undefined;
  using predicted = generate(model, values, { horizon, useCache, ...(maskTensor ? { mask: maskTensor } : {}) });
  const flat = await predicted.read();
  return batch.map(({ normalisation }, row) => {
    const own = denormalise(flat.subarray(row * horizon, (row + 1) * horizon), normalisation);
    // A constant series has nothing to predict: whatever the heads say about zeros is an artefact.
    return normalisation.standardDeviation === 0 ? own.fill(normalisation.mean) : own;
  });
}
