import { mae, mase, mse, seasonalNaive, slidingWindows, smape } from "@moebius/data";
import { forecastPoints, type PointForecastOptions } from "./forecast.ts";
import type { TimeMoeModel } from "./model.ts";

export interface EvaluateOptions extends Omit<PointForecastOptions, "horizon"> {
  horizon: number;
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
  /** Absolute error over that of the seasonal naive forecast within the context. */
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

/** Scores rolling forecasts of every series, beside the naive ones. */
export async function evaluate(
  model: TimeMoeModel,
  series: readonly ArrayLike<number>[],
  options: EvaluateOptions,
): Promise<Evaluation> {
  const { horizon, context, range, stride = 1, season = 24, onProgress, ...rest } = options;
  const lengths = series.map((values) => values.length);
  const windows = slidingWindows(lengths, { context, horizon, stride, ...(range ? { range } : {}) });
  const totals = { model: new Total(season), naive: new Total(season), seasonalNaive: new Total(season) };
  const copies = series.map((values) => Float64Array.from(values));
  for (let first = 0; first < windows.count; first += CHUNK) {
    const chunk = Array.from({ length: Math.min(CHUNK, windows.count - first) }, (_, i) => {
      const { series: s, start } = windows.at(first + i);
      const values = copies[s] as Float64Array<ArrayBuffer>;
      return {
        past: values.subarray(start, start + context),
        actual: values.subarray(start + context, start + context + horizon),
      };
    });
    const forecasts = await forecastPoints(
      model,
      chunk.map(({ past }) => past),
      { ...rest, horizon, context },
    );
    for (const [i, { past, actual }] of chunk.entries()) {
      totals.model.add(forecasts[i] as Float64Array, actual, past);
      totals.naive.add(seasonalNaive(past, horizon, 1), actual, past);
      totals.seasonalNaive.add(seasonalNaive(past, horizon, Math.min(season, past.length)), actual, past);
    }
    onProgress?.({ stage: "forecast", done: first + chunk.length, total: windows.count });
  }
  return {
    horizon,
    windows: windows.count,
    model: totals.model.score(),
    naive: totals.naive.score(),
    seasonalNaive: totals.seasonalNaive.score(),
  };
}

/** Sums the scores of forecasts; MASE leaves out windows whose past repeats itself exactly. */
class Total {
  readonly #season: number;
  readonly #sums = { mse: 0, mae: 0, smape: 0, mase: 0 };
  #count = 0;
  #scaled = 0;

  constructor(season: number) {
    this.#season = season;
  }

  add(forecast: ArrayLike<number>, actual: ArrayLike<number>, past: ArrayLike<number>): void {
    this.#count++;
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
    return { mse: mse / this.#count, mae: mae / this.#count, smape: smape / this.#count, mase: mase / this.#scaled };
  }
}
