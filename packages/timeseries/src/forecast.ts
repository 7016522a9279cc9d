import { ValueError } from "@moebius/runtime/device";
import { tensor } from "@moebius/runtime/tensor";
import { readContext } from "./context.ts";
import { expectCount } from "./expect-count.ts";
import { generate } from "./generate.ts";
import type { TimeMoeModel } from "./model.ts";
import { denormalise, type Normalisation, normalisationOf, normalise } from "./normalise.ts";

export interface ForecastProgress {
  /** back-test: forecasts from the past that calibrate an interval. */
  stage: "forecast" | "back-test";
  done: number;
  total: number;
}

export interface PointForecastOptions {
  /** Number of points to predict. */
  horizon: number;
  /** Most points of history to look at. Default: as many as the model's positions allow, at most 512. */
  context?: number;
  /** What to do with NaN inside the context: fail (default), or fill by straight lines between the neighbours. NaN at its start is cut off. */
  missing?: "error" | "interpolate";
  /** Series computed at once. Default 32. */
  batchSize?: number;
  /** Keep keys and values between steps: see generate. Default true. */
  useCache?: boolean;
  onProgress?: ((event: ForecastProgress) => void) | undefined;
}

export interface PointForecast {
  /** [horizon] */
  mean: Float64Array<ArrayBuffer>;
  /** The context has but one value, which the forecast repeats. */
  constant: boolean;
}

const DEFAULT_CONTEXT = 512;

/**
 * Forecasts several series: each one's context is normalised by its own mean and unbiased standard deviation, continued, and
 * scaled back. Shorter contexts are padded on the left and masked. A constant series gets a constant forecast.
 * @throws {ValueError} for a series without values, a value or a forecast that is not finite, naming series and position; for
 *   options out of range
 */
export async function forecastPoints(
  model: TimeMoeModel,
  series: readonly ArrayLike<number>[],
  options: PointForecastOptions,
): Promise<PointForecast[]> {
  const { horizon, missing = "error", batchSize = 32, useCache = true, onProgress } = options;
  expectCount("batchSize", batchSize);
  const length = contextLength(model, options);
  const prepared = series.map((all, index): Prepared => {
    const values = readContext(all, index, { length, missing });
    if (values.length === 0)
      throw new ValueError(
        all.length === 0
          ? `series ${index} is empty`
          : `series ${index} has no value among its last ${Math.min(length, all.length)} points`,
      );
    const normalisation = normalisationOf(values, 1);
    return { values: normalise(values, normalisation), normalisation };
  });
  const results: PointForecast[] = [];
  for (let start = 0; start < prepared.length; start += batchSize) {
    const batch = prepared.slice(start, start + batchSize);
    for (const result of await forecastBatch(model, batch, horizon, useCache)) {
      if (!result.mean.every(Number.isFinite))
        throw new ValueError(
          `the forecast of series ${results.length} is not finite; the checkpoint may be damaged, or the values too large`,
        );
      results.push(result);
    }
    onProgress?.({ stage: "forecast", done: results.length, total: prepared.length });
  }
  return results;
}

/** How many points of history a forecast looks at. @throws {ValueError} when horizon and context do not fit the model's positions */
export function contextLength(
  model: TimeMoeModel,
  { horizon, context }: Pick<PointForecastOptions, "horizon" | "context">,
): number {
  expectCount("horizon", horizon);
  const positions = model.config.max_position_embeddings;
  const room = positions - horizon;
  if (room < 1)
    throw new ValueError(
      `a horizon of ${horizon} leaves no context: the model has ${positions} positions (max_position_embeddings)`,
    );
  const length = context ?? Math.min(DEFAULT_CONTEXT, room);
  expectCount("context", length);
  if (length > room)
    throw new ValueError(
      `context ${length} and horizon ${horizon} together pass the model's ${positions} positions (max_position_embeddings); take a context of at most ${room}`,
    );
  return length;
}

interface Prepared {
  values: Float32Array<ArrayBuffer>;
  normalisation: Normalisation;
}

async function forecastBatch(
  model: TimeMoeModel,
  batch: readonly Prepared[],
  horizon: number,
  useCache: boolean,
): Promise<PointForecast[]> {
  const length = Math.max(...batch.map(({ values }) => values.length));
  const padded = new Float32Array(batch.length * length);
  const real = new Float32Array(padded.length);
  for (const [row, { values }] of batch.entries()) {
    const start = (row + 1) * length - values.length;
    padded.set(values, start);
    real.fill(1, start, (row + 1) * length);
  }
  using values = tensor(model.device, padded, [batch.length, length]);
  using mask = real.includes(0) ? tensor(model.device, real, [batch.length, length]) : undefined;
  using predicted = generate(model, values, { horizon, useCache, mask });
  const flat = await predicted.read();
  return batch.map(({ normalisation }, row) => {
    const mean = denormalise(flat.subarray(row * horizon, (row + 1) * horizon), normalisation);
    const constant = normalisation.standardDeviation === 0;
    // A constant series has nothing to predict: whatever the heads say about zeros is an artefact.
    return { mean: constant ? mean.fill(normalisation.mean) : mean, constant };
  });
}
