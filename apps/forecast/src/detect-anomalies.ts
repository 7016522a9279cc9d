import { type ProgressEvent, UserError } from "@moebius/cli";
import { formatTime, timestampsOf } from "@moebius/data";
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
 * Forecasts a series from its own past, a horizon at a time, and flags what lies outside the conformal interval. It is calibrated on
 * the errors of all other forecasts, so that an anomaly does not widen the interval that judges it.
 */
export async function detectAnomalies(
  model: Pick<TimeMoe, "forecastMany">,
  series: InputSeries,
  { horizon, coverage, last, context, report }: DetectOptions,
): Promise<Judgement> {
  const { values, id } = series;
  const first = Math.max(PAST_HORIZONS * horizon, values.length - (last ?? values.length));
  const needed = Math.ceil(1 / (1 - coverage));
  if (values.length - first < needed + horizon)
    throw new UserError(
      `${id}: has ${Math.max(0, values.length - first)} values to judge after the first ${first}; a coverage of ${coverage} needs at least ${needed + horizon}: give more rows, a lower --coverage or a shorter --horizon`,
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
  const width = (i: number) => widths[i] as number;
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

/**
 * [errors] The hours of a day, say, are not equally hard to forecast: a width comes of the errors at the same step of the other
 * forecasts, and at its neighbours until there are enough.
 */
function halfWidths(errors: Float64Array, { horizon, coverage, enough }: WidthOptions): Float64Array {
  const sizes = errors.map(Math.abs);
  const widths = new Float64Array(errors.length);
  for (let h = 0; h < horizon; h++) {
    let reach = 0;
    const near = () => sizes.filter((_, i) => Math.abs((i % horizon) - h) <= reach);
    while (reach < horizon && near().length < enough) reach++;
    const sorted = near().sort();
    for (let i = h; i < errors.length; i += horizon) {
      const window = i - h;
      const own = sizes.slice(window + Math.max(0, h - reach), window + Math.min(horizon, h + reach + 1)).sort();
      // The ⌈(n + 1) · coverage⌉-th smallest of the n others; 1e-9 for what is whole but for rounding.
      let at = Math.ceil((sorted.length - own.length + 1) * coverage - 1e-9) - 1;
      for (const size of own) if (size <= (sorted[at] ?? 0)) at++;
      widths[i] = sorted[at] ?? Number.POSITIVE_INFINITY;
    }
  }
  return widths;
}
