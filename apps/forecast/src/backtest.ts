import { mae, mase, naive, type Series, seasonalNaive, smape } from "@moebius/data";
import type { PointForecastOptions, TimeMoe } from "@moebius/timeseries";
import { seasonOf } from "./read-series.ts";

export interface BacktestScore {
  method: string;
  windows: number;
  mae: number;
  mase: number;
  smape: number;
}

export interface BacktestOptions {
  horizon: number;
  /** Forecasts a series, each ending one horizon before the next. */
  count: number;
  context: number | undefined;
  onProgress?: PointForecastOptions["onProgress"];
}

/** Scores forecasts from the past of each series, beside the naive ones: means over all windows. */
export async function backtest(
  model: TimeMoe,
  series: readonly Series[],
  { horizon, count, context, onProgress }: BacktestOptions,
): Promise<BacktestScore[]> {
  const windows = series.flatMap((one) => {
    const season = seasonOf(one);
    // A window needs two seasons before it, so that the seasonal naive forecast and MASE mean something.
    const fits = Math.max(0, Math.floor((one.values.length - 2 * season) / horizon));
    return Array.from({ length: Math.min(count, fits) }, (_, i) => {
      const end = one.values.length - (i + 1) * horizon;
      return { season, past: one.values.subarray(0, end), actual: one.values.subarray(end, end + horizon) };
    });
  });
  if (windows.length === 0) return [];
  const forecasts = await model.forecastMany(
    windows.map(({ past }) => past),
    { horizon, ...(context === undefined ? {} : { context }), onProgress },
  );
  const score = (method: string, of: (i: number) => ArrayLike<number>): BacktestScore => {
    const mean = (f: (forecast: ArrayLike<number>, i: number) => number) =>
      windows.reduce((sum, _, i) => sum + f(of(i), i), 0) / windows.length;
    const at = (i: number) => windows[i] as (typeof windows)[number];
    return {
      method,
      windows: windows.length,
      mae: mean((forecast, i) => mae(forecast, at(i).actual)),
      mase: mean((forecast, i) => mase(forecast, at(i).actual, at(i).past, at(i).season)),
      smape: mean((forecast, i) => smape(forecast, at(i).actual)),
    };
  };
  const at = (i: number) => windows[i] as (typeof windows)[number];
  return [
    score("model", (i) => forecasts[i]?.mean ?? []),
    score("seasonal naive", (i) => seasonalNaive(at(i).past, horizon, at(i).season)),
    score("naive", (i) => naive(at(i).past, horizon)),
  ];
}
