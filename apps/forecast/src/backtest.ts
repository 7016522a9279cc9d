import type { ProgressEvent } from "@moebius/cli";
import { mae, mase, naive, seasonalNaive, smape } from "@moebius/data";
import type { TimeMoe } from "@moebius/timeseries";
import type { Input } from "./read-series.ts";

/** Means over all windows of all series. */
export interface BacktestScore {
  method: "model" | "seasonal naive" | "naive";
  windows: number;
  mae: number;
  mase: number;
  smape: number;
}

interface BacktestOptions {
  horizon: number;
  /** Forecasts a series, each of the horizon before that of the one before; fewer where the series is short. */
  count: number;
  context: number | undefined;
  report: (event: ProgressEvent) => void;
}

interface Window {
  season: number;
  past: Float64Array;
  actual: Float64Array;
}

/** Scores rolling forecasts of the end of each series, each from what came before, beside the naive ones. */
export async function backtest(
  model: Pick<TimeMoe, "forecastMany">,
  { series }: Input,
  { horizon, count, context, report }: BacktestOptions,
): Promise<BacktestScore[]> {
  const windows = series.flatMap(({ values, season }) =>
    Array.from({ length: count }, (_, i) => values.length - (i + 1) * horizon)
      .filter((end, i) => i === 0 || end > 2 * season) // two seasons, so that the seasonal naive forecast and MASE mean something
      .map((end): Window => {
        const past = values.subarray(0, end);
        return { season: season < end ? season : 1, past, actual: values.subarray(end, end + horizon) };
      }),
  );
  const forecasts = await model.forecastMany(
    windows.map(({ past }) => past),
    {
      horizon,
      ...(context === undefined ? {} : { context }),
      onProgress: ({ done, total }) => report({ stage: "score the past", done, total }),
    },
  );
  const score = (method: BacktestScore["method"], of: (window: Window, i: number) => ArrayLike<number>) => {
    const predicted = windows.map(of);
    const mean = (error: (forecast: ArrayLike<number>, window: Window) => number) => {
      const errors = windows.map((window, i) => error(predicted[i] ?? [], window)).filter(Number.isFinite);
      return errors.reduce((sum, each) => sum + each, 0) / errors.length;
    };
    return {
      method,
      windows: windows.length,
      mae: mean((forecast, { actual }) => mae(forecast, actual)),
      mase: mean((forecast, { actual, past, season }) => mase(forecast, actual, past, season)),
      smape: mean((forecast, { actual }) => smape(forecast, actual)),
    };
  };
  return [
    score("model", (_, i) => forecasts[i]?.mean ?? []),
    ...(series.some(({ season }) => season > 1)
      ? [score("seasonal naive", ({ past, season }) => seasonalNaive(past, horizon, season))]
      : []),
    score("naive", ({ past }) => naive(past, horizon)),
  ];
}
