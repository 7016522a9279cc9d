import { type ProgressEvent, UserError } from "@moebius/cli";
import { conformalQuantile, formatTime, timestampsOf } from "@moebius/data";
import type { TimeMoe } from "@moebius/timeseries";
import type { InputSeries } from "./read-series.ts";

export interface Anomaly {
  series: string;
  /** The stamp, or the place in the series counted from 1. */
  time: string | number;
  index: number;
  value: number;
  expected: number;
  lower: number;
  upper: number;
  /** Distance from what was expected, in half-widths of the interval: above 1 is outside. */
  score: number;
}

/** A series beside what its own past let expect, from `start` on. */
export interface Judgement {
  series: InputSeries;
  start: number;
  expected: Float64Array;
  lower: Float64Array;
  upper: Float64Array;
  anomalies: Anomaly[];
}

interface DetectOptions {
  horizon: number;
  coverage: number;
  /** Points at the end to judge; all that have a past without it. */
  last: number | undefined;
  context: number | undefined;
  report: (event: ProgressEvent) => void;
}

/** Horizons of history before the first point that is judged. */
const PAST_HORIZONS = 4;

/**
 * Forecasts a series from its own past, a horizon at a time, and flags what lies outside the interval that holds `coverage` of the
 * errors: of those at the same step of the horizon, and of its neighbours until there are enough.
 */
export async function detectAnomalies(
  model: TimeMoe,
  series: InputSeries,
  { horizon, coverage, last, context, report }: DetectOptions,
): Promise<Judgement> {
  const { values, id } = series;
  const first = Math.max(PAST_HORIZONS * horizon, values.length - (last ?? values.length));
  const needed = Math.ceil(1 / (1 - coverage));
  if (values.length - first < needed)
    throw new UserError(
      `${id}: has ${Math.max(0, values.length - first)} values to judge after the first ${first}; a coverage of ${coverage} needs at least ${needed}: give more rows, a lower --coverage or a shorter --horizon`,
    );
  const origins = Array.from({ length: Math.ceil((values.length - first) / horizon) }, (_, i) => first + i * horizon);
  const forecasts = await model.forecastMany(
    origins.map((at) => values.subarray(0, at)),
    {
      horizon,
      ...(context === undefined ? {} : { context }),
      onProgress: ({ done, total }) => report({ stage: `forecast the past of ${id}`, done, total }),
    },
  );
  const expected = Float64Array.from(
    values.subarray(first),
    (_, i) => forecasts[Math.floor(i / horizon)]?.mean[i % horizon] ?? 0,
  );
  const errors = expected.map((mean, i) => (values[first + i] as number) - mean);
  const widths = halfWidths(errors, { horizon, coverage, enough: 2 * needed });
  const width = (i: number) => widths[i % horizon] as number;
  const lower = expected.map((mean, i) => mean - width(i));
  const upper = expected.map((mean, i) => mean + width(i));
  const stamps = timestampsOf(series);
  const anomalies = Array.from(errors.keys())
    .filter((i) => Math.abs(errors[i] as number) > width(i))
    .map((i): Anomaly => {
      const stamp = stamps?.[first + i];
      return {
        series: id,
        time: stamp === undefined ? first + i + 1 : formatTime(stamp),
        index: first + i,
        value: values[first + i] as number,
        expected: expected[i] as number,
        lower: lower[i] as number,
        upper: upper[i] as number,
        score: Math.abs(errors[i] as number) / width(i),
      };
    });
  return { series, start: first, expected, lower, upper, anomalies };
}

interface WidthOptions {
  horizon: number;
  coverage: number;
  /** Errors that a quantile is taken of, at least. */
  enough: number;
}

/** [horizon] The hours of a day, say, are not equally hard to forecast: each step of the horizon has a width of its own. */
function halfWidths(errors: Float64Array, { horizon, coverage, enough }: WidthOptions): Float64Array {
  return Float64Array.from({ length: horizon }, (_, h) => {
    for (let reach = 0; reach < horizon; reach++) {
      const near = errors.filter((_, i) => Math.abs((i % horizon) - h) <= reach);
      if (near.length >= enough) return conformalQuantile(near, 1 - coverage);
    }
    return conformalQuantile(errors, 1 - coverage);
  });
}
