import { conformalQuantile } from "@moebius/data";
import { ValueError } from "@moebius/runtime/device";
import { readContext } from "./context.ts";
import { expectCount } from "./expect-count.ts";
import { contextLength, forecastPoints, type PointForecast, type PointForecastOptions } from "./forecast.ts";
import type { TimeMoeModel } from "./model.ts";

export interface IntervalOptions {
  /** Coverage of the interval, 0 < interval < 1. Default: no interval. */
  interval?: number;
  /** Forecasts from the series' past that calibrate it. Default 24, more for a high coverage, or as many as the length allows. */
  backtests?: number;
}

const DEFAULT_BACKTESTS = 24;
/** A back-test sees at least this many points, or its errors say little about those of the real forecast. */
const MIN_CONTEXT = 16;

/**
 * Half-widths of prediction intervals by split-conformal calibration: the model forecasts from earlier points of the same series,
 * and the interval at step h is the quantile of its absolute errors at the steps around h.
 * @returns [horizon] a series
 * @throws {ValueError} when a series is too short for as many errors as the coverage needs; naming series and position of a value
 *   of the past that cannot be used
 * @see Vovk et al. 2005; Stankeviciute et al. 2021 (conformal time-series forecasting)
 */
export async function conformalIntervals(
  model: TimeMoeModel,
  series: readonly ArrayLike<number>[],
  options: PointForecastOptions & { interval: number; backtests?: number },
): Promise<Float64Array<ArrayBuffer>[]> {
  const { horizon, interval, missing = "error", onProgress, backtests, ...rest } = options;
  if (!(interval > 0 && interval < 1)) throw new ValueError(`interval must lie between 0 and 1, got ${interval}`);
  // The quantile needs ceil((n + 1) · interval) ≤ n errors, that is n ≥ 1 / (1 − interval) − 1; 1e-9 for what is whole but for rounding.
  const needed = Math.ceil(1 / (1 - interval) - 1 - 1e-9);
  const count = backtests ?? Math.max(DEFAULT_BACKTESTS, Math.ceil(needed / horizon));
  expectCount("backtests", count);
  const length = contextLength(model, options);
  const tests = series.map((values, index) =>
    origins(values.length, index, horizon, length, count).flatMap((end) => {
      const context = readContext(values, index, { end, length, missing });
      return context.length === 0 ? [] : [{ end, context }];
    }),
  );
  const forecasts = await forecastPoints(
    model,
    tests.flatMap((own) => own.map(({ context }) => context)),
    {
      ...rest,
      horizon,
      context: length,
      onProgress: onProgress && ((event) => onProgress({ ...event, stage: "back-test" })),
    },
  );
  let next = 0;
  return tests.map((own, index) => {
    const values = series[index] as ArrayLike<number>;
    const errors = own.map(({ end }) => {
      const { mean } = forecasts[next++] as PointForecast;
      return mean.map((x, h) => Math.abs(x - (values[end + h] as number)));
    });
    return halfWidths(errors, { index, horizon, interval, needed });
  });
}

/** Where back-tests end: evenly spread over the second half of what the series has, the last one `horizon` before its end. */
function origins(points: number, index: number, horizon: number, context: number, backtests: number): number[] {
  const last = points - horizon;
  if (last < MIN_CONTEXT)
    throw new ValueError(
      `interval of series ${index}: ${points} points are too few to back-test a horizon of ${horizon}; give at least ${horizon + MIN_CONTEXT}, or leave the interval out`,
    );
  const first = Math.min(last, Math.max(MIN_CONTEXT, Math.min(context, Math.floor(last / 2))));
  const count = Math.min(backtests, last - first + 1);
  return Array.from({ length: count }, (_, i) => last - Math.round(((last - first) * i) / Math.max(1, count - 1)));
}

interface Calibration {
  index: number;
  horizon: number;
  interval: number;
  needed: number;
}

/** The errors of one step are few: those of its neighbours are pooled until there are twice as many as the quantile needs. */
function halfWidths(
  errors: readonly Float64Array[],
  { index, horizon, interval, needed }: Calibration,
): Float64Array<ArrayBuffer> {
  const pool = (from: number, to: number) =>
    errors.flatMap((own) => [...own.subarray(from, to)]).filter(Number.isFinite); // the past may lack a value
  const all = pool(0, horizon);
  if (all.length < needed)
    throw new ValueError(
      `interval of series ${index}: a coverage of ${interval} needs ${needed} errors of back-tests, there are ${all.length}; lower the interval, give a longer series, or leave the interval out`,
    );
  return Float64Array.from({ length: horizon }, (_, h) => {
    for (let reach = 0; reach < horizon; reach++) {
      const pooled = pool(Math.max(0, h - reach), h + reach + 1);
      if (pooled.length >= 2 * needed) return conformalQuantile(pooled, 1 - interval);
    }
    return conformalQuantile(all, 1 - interval);
  });
}
