import { mae, mase, mse, naive, seasonalNaive, slidingWindows, smape } from "@moebius/data";
import { ValueError } from "@moebius/runtime/device";
import { readContext } from "./context.ts";
import { expectCount } from "./expect-count.ts";
import { contextLength, forecastPoints, type PointForecast, type PointForecastOptions } from "./forecast.ts";
import type { TimeMoeModel } from "./model.ts";

export interface EvaluateOptions extends Omit<PointForecastOptions, "context"> {
  /** History each forecast sees; it may reach back before the range. */
  context: number;
  /** Rows that the forecast points lie in. Default: all. */
  range?: readonly [number, number];
  /** Rows between forecast origins. Default 1. */
  stride?: number;
  /** Length of the season for the seasonal naive forecast and MASE. Default 24. */
  season?: number;
}

export interface Score {
  /** Means over windows, steps and series, in the units of the values. */
  mse: number;
  mae: number;
  /** Symmetric percentage error, 0 to 200. */
  smape: number;
  /** Absolute error over that of the seasonal naive forecast within the context; NaN when no context is longer than a season. */
  mase: number;
}

export interface Evaluation {
  horizon: number;
  windows: number;
  model: Score;
  /** Repeats the last value. */
  naive: Score;
  /** Repeats the last season. */
  seasonalNaive: Score;
}

/** Windows forecast at once between progress events and accumulation: bounds the host's memory. */
const CHUNK = 256;

/**
 * Scores rolling forecasts of every series, beside the naive ones. Missing values are not scored; within a context all three
 * forecasts see them as `missing` says.
 * @throws {ValueError} when no series is long enough for one window; naming series and position of a value that cannot be used
 */
export async function evaluate(
  model: TimeMoeModel,
  series: readonly ArrayLike<number>[],
  options: EvaluateOptions,
): Promise<Evaluation> {
  const { horizon, context, range, stride = 1, season = 24, missing = "error", onProgress, ...rest } = options;
  expectCount("stride", stride);
  expectCount("season", season);
  const length = contextLength(model, options);
  const windows = slidingWindows(
    series.map((values) => values.length),
    { context, horizon, stride, ...(range ? { range } : {}) },
  );
  if (windows.count === 0)
    throw new ValueError(
      `evaluate: no series has ${context} points of context and ${horizon} to score${range ? ` in rows ${range[0]} to ${range[1]}` : ""}`,
    );
  const copies = series.map((values) => Float64Array.from(values));
  const totals = { model: new Total(season), naive: new Total(season), seasonalNaive: new Total(season) };
  for (let first = 0; first < windows.count; first += CHUNK) {
    const last = Math.min(first + CHUNK, windows.count);
    const chunk: { past: Float64Array; actual: Float64Array }[] = [];
    for (let i = first; i < last; i++) {
      const { series: index, start } = windows.at(i);
      const values = copies[index] as Float64Array<ArrayBuffer>;
      const end = start + context;
      const actual = values.subarray(end, end + horizon);
      const past = readContext(values, index, { end, length, missing });
      if (past.length > 0 && !actual.every(Number.isNaN)) chunk.push({ past, actual });
    }
    const forecasts = await forecastPoints(
      model,
      chunk.map(({ past }) => past),
      { ...rest, horizon, context },
    );
    for (const [i, { past, actual }] of chunk.entries()) {
      totals.model.add((forecasts[i] as PointForecast).mean, actual, past);
      totals.naive.add(naive(past, horizon), actual, past);
      totals.seasonalNaive.add(seasonalNaive(past, horizon, Math.min(season, past.length)), actual, past);
    }
    onProgress?.({ stage: "forecast", done: last, total: windows.count });
  }
  return {
    horizon,
    windows: totals.model.windows,
    model: totals.model.score(),
    naive: totals.naive.score(),
    seasonalNaive: totals.seasonalNaive.score(),
  };
}

/** Sums the scores of forecasts; MASE leaves out windows whose past repeats itself exactly. */
class Total {
  readonly #season: number;
  readonly #sums = { mse: 0, mae: 0, smape: 0, mase: 0 };
  #scaled = 0;
  windows = 0;

  constructor(season: number) {
    this.#season = season;
  }

  add(forecast: ArrayLike<number>, actual: ArrayLike<number>, past: ArrayLike<number>): void {
    this.windows++;
    this.#sums.mse += mse(forecast, actual);
    this.#sums.mae += mae(forecast, actual);
    this.#sums.smape += smape(forecast, actual);
    if (past.length <= this.#season) return;
    const scaled = mase(forecast, actual, past, this.#season);
    if (!Number.isFinite(scaled)) return;
    this.#scaled++;
    this.#sums.mase += scaled;
  }

  score(): Score {
    const { mse, mae, smape, mase } = this.#sums;
    return { mse: mse / this.windows, mae: mae / this.windows, smape: smape / this.windows, mase: mase / this.#scaled };
  }
}
