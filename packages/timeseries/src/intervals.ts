import { conformalQuantile } from "@moebius/data";
import { ConfigError, ValueError } from "@moebius/runtime/device";
import { contextLength, forecastPoints, type PointForecastOptions } from "./forecast.ts";
import type { TimeMoeModel } from "./model.ts";

export interface IntervalOptions {
  /** Coverage of the interval, 0 < interval < 1. Default: no interval. */
  interval?: number;
  /** Forecasts from the series' past that calibrate it. Default 24, or as many as the series' length allows. */
  backtests?: number;
}

const DEFAULT_BACKTESTS = 24;
/** A back-test sees at least this many points, or its errors say little about those of the real forecast. */
const MIN_CONTEXT = 16;

/**
 * Half-widths of prediction intervals by split-conformal calibration: the model forecasts from earlier points of the same series,
 * and the interval at step h is the quantile of its absolute errors around step h, never narrower than at earlier steps' average.
 * @returns [horizon] a series
 * @throws {ValueError} when a series is too short for as many back-tests as the coverage needs
 * @see Vovk et al. 2005; Stankeviciute et al. 2021 (conformal time-series forecasting)
 */
export async function conformalIntervals(
  model: TimeMoeModel,
  series: readonly ArrayLike<number>[],
  options: PointForecastOptions & IntervalOptions,
): Promise<Float64Array<ArrayBuffer>[]> {
  const { horizon, interval = 0.9, backtests = DEFAULT_BACKTESTS, onProgress: _, ...rest } = options;
  if (!(interval > 0 && interval < 1)) throw new ConfigError(`interval must lie between 0 and 1, got ${interval}`);
  const context = contextLength(model, options);
  const plans = series.map((values, index) => origins(values, index, horizon, context, backtests));
  const windows = plans.flatMap((ends, index) =>
    ends.map((end) => Array.prototype.slice.call(series[index], Math.max(0, end - context), end)),
  );
  const forecasts = await forecastPoints(model, windows, { ...rest, horizon, context });
  let at = 0;
  return plans.map((ends, index) => {
    const values = series[index] as ArrayLike<number>;
    const errors = ends.map((end) => {
      const forecast = forecasts[at++] as Float64Array;
      return forecast.map((x, h) => Math.abs(x - (values[end + h] as number)));
    });
    return widths(errors, horizon, 1 - interval);
  });
}

/** Where back-tests end: evenly spread over the second half of what the series has, the last one `horizon` before its end. */
function origins(
  values: ArrayLike<number>,
  index: number,
  horizon: number,
  context: number,
  backtests: number,
): number[] {
  const last = values.length - horizon;
  const first = Math.min(last, Math.max(MIN_CONTEXT, Math.min(context, Math.floor(last / 2))));
  if (last < MIN_CONTEXT)
    throw new ValueError(
      `interval of series ${index}: ${values.length} points are too few to back-test a horizon of ${horizon}; give at least ${horizon + MIN_CONTEXT}, or leave the interval out`,
    );
  const count = Math.min(backtests, last - first + 1);
  return Array.from({ length: count }, (_, i) =>
    count === 1 ? last : Math.round(first + ((last - first) * i) / (count - 1)),
  );
}

/**
 * The errors of a step are few; those of neighbouring steps are pooled until the quantile exists. `alpha` = 1 − coverage.
 * The small-sample quantile of conformal prediction needs ceil((n + 1)(1 − alpha)) ≤ n, that is n ≥ 1/alpha − 1.
 */
function widths(errors: readonly Float64Array[], horizon: number, alpha: number): Float64Array<ArrayBuffer> {
  const needed = Math.ceil(1 / alpha) - 1;
  return Float64Array.from({ length: horizon }, (_, h) => {
    for (let reach = 0; ; reach++) {
      const from = Math.max(0, h - reach);
      const to = Math.min(horizon, h + reach + 1);
      const pooled = errors.flatMap((own) => [...own.subarray(from, to)]).filter(Number.isFinite);
      if (pooled.length >= 2 * needed || (from === 0 && to === horizon))
        return pooled.length >= needed ? conformalQuantile(pooled, alpha) : Math.max(0, ...pooled);
    }
  });
}
