import type { TopLevelSpec } from "vega-lite";
import { colors } from "./theme.ts";

/** A value at a time (UTC) or, for series without timestamps, at a step. */
export type ChartPoint =
  | { readonly time: Date | number; readonly value: number }
  | { readonly index: number; readonly value: number };

export interface ForecastSeries {
  readonly name: string;
  readonly history: readonly ChartPoint[];
  readonly forecast: readonly ChartPoint[];
  /** The interval's bounds, one value a forecast point. */
  readonly lower?: ArrayLike<number>;
  readonly upper?: ArrayLike<number>;
  /** What really happened after the history. */
  readonly truth?: readonly ChartPoint[];
  /** Points to mark in red. */
  readonly anomalies?: readonly ChartPoint[];
}

export interface ForecastChart {
  readonly title: string;
  readonly subtitle?: string;
  /** What the values are: "rentals per hour". */
  readonly valueTitle?: string;
  /** The interval's name in the legend: "90 % interval". */
  readonly intervalName?: string;
  readonly series: readonly ForecastSeries[];
}

const panelWidth = 900;
/** Room for labels such as 800,000, so that the axis titles of all panels stand in one line. */
const alignedTitles = 56;

/** History, forecast, interval and anomalies over time; several series stand below each other with their own scale. */
export function forecastSpec({
  title,
  subtitle,
  valueTitle,
  intervalName = "interval",
  series,
}: ForecastChart): TopLevelSpec {
  const values = series.flatMap((one) => rows(one, intervalName));
  const parts = [
    { name: "history", color: colors.history, used: true },
    { name: "forecast", color: colors.forecast, used: series.some((one) => one.forecast.length > 0) },
    { name: intervalName, color: colors.forecast, used: series.some((one) => one.lower && one.upper) },
    { name: "actual", color: colors.truth, used: series.some((one) => one.truth) },
    { name: "anomaly", color: colors.anomaly, used: series.some((one) => one.anomalies) },
  ].filter((part) => part.used);
  const x = timeAxis(series);
  const y = {
    field: "value",
    type: "quantitative" as const,
    title: valueTitle ?? null,
    scale: { zero: false },
    axis: { minExtent: series.length === 1 ? 0 : alignedTitles },
  };
  const only = (...names: string[]) => [{ filter: { field: "part", oneOf: names } }];
  const color = {
    field: "part",
    type: "nominal" as const,
    scale: { domain: parts.map(({ name }) => name), range: parts.map((part) => part.color) },
    legend: { title: null, orient: "top" as const, offset: 14, encoding: { symbols: symbols(intervalName) } },
  };
  const panel = {
    width: panelWidth,
    height: series.length === 1 ? 340 : 220,
    layer: [
      {
        transform: only(intervalName),
        mark: { type: "area" as const, opacity: 0.2 },
        encoding: { x, y: { ...y, field: "lower" }, y2: { field: "upper" }, color },
      },
      {
        transform: only("start"),
        mark: { type: "rule" as const, color: colors.faintText, strokeDash: [4, 4] },
        encoding: { x },
      },
      {
        transform: only("history", "forecast", "actual"),
        mark: { type: "line" as const, strokeWidth: 1.6, strokeJoin: "round" as const },
        encoding: { x, y, color },
      },
      {
        transform: only("anomaly"),
        mark: { type: "point" as const, filled: true, size: 55, opacity: 1 },
        encoding: { x, y, color },
      },
    ],
  };
  const frame = {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    title: subtitle === undefined ? title : { text: title, subtitle },
    data: { values },
  };
  if (series.length === 1) return { ...frame, ...panel };
  return {
    ...frame,
    facet: { field: "series", type: "nominal", sort: series.map(({ name }) => name) },
    columns: 1,
    spacing: 20,
    spec: panel,
    resolve: { scale: { y: "independent" } },
  };
}

const dayMs = 86_400_000;

/** Dates as fine as the time span asks for, the years in the axis title; a plain number axis for series without times. */
function timeAxis(series: readonly ForecastSeries[]) {
  const points = series.flatMap(({ history, forecast }) => [...history, ...forecast]);
  if (!points.some((point) => "time" in point)) {
    return { field: "x", type: "quantitative" as const, scale: { zero: false, nice: false }, title: "step" };
  }
  const [first, last] = [points.reduce(earlier), points.reduce(later)].map((point) => new Date(position(point)));
  const [from, to] = [first?.getUTCFullYear(), last?.getUTCFullYear()];
  const spanDays = (Number(last) - Number(first)) / dayMs;
  const [format, title] =
    spanDays > 1500
      ? ["%Y", null]
      : spanDays > 120
        ? ["%b %Y", null]
        : [spanDays > 4 ? "%-d %b" : "%-d %b %H:%M", from === to ? `${from}` : `${from} – ${to}`];
  return {
    field: "x",
    type: "temporal" as const,
    scale: { type: "utc" as const },
    title,
    axis: { format, tickCount: 9 },
  };
}

const earlier = (a: ChartPoint, b: ChartPoint) => (position(b) < position(a) ? b : a);
const later = (a: ChartPoint, b: ChartPoint) => (position(b) > position(a) ? b : a);

/** Legend symbols that look like what they stand for: a block for the interval, a dot for an anomaly, else a stroke. */
function symbols(intervalName: string) {
  const choose = <T extends string | number>(interval: T, anomaly: T, line: T) => ({
    condition: [
      { test: `datum.label === ${JSON.stringify(intervalName)}`, value: interval },
      { test: "datum.label === 'anomaly'", value: anomaly },
    ],
    value: line,
  });
  return {
    shape: choose("square", "circle", "stroke"),
    size: { value: 150 },
    strokeWidth: { value: 3 },
    fillOpacity: choose(0.25, 1, 0),
    strokeOpacity: choose(0, 0, 1),
    opacity: { value: 1 },
  };
}

type Row = { readonly series: string; readonly part: string; readonly x: number } & Readonly<Record<string, unknown>>;

function rows(
  { name, history, forecast, lower, upper, truth = [], anomalies = [] }: ForecastSeries,
  intervalName: string,
): Row[] {
  const row = (part: string) => (point: ChartPoint) => ({
    series: name,
    part,
    x: position(point),
    value: Number.isFinite(point.value) ? point.value : null,
  });
  const band =
    lower && upper
      ? forecast.map((point, index) => ({ ...row(intervalName)(point), lower: lower[index], upper: upper[index] }))
      : [];
  const [last, first] = [history.at(-1), forecast[0]];
  // the forecast leaves from the last known value, unless it covers the history (a back-test)
  const joint = last && first && position(last) < position(first) ? [row("forecast")(last)] : [];
  return [
    ...history.map(row("history")),
    ...truth.map(row("actual")),
    ...joint,
    ...forecast.map(row("forecast")),
    ...band,
    ...(first ? [row("start")(first)] : []),
    ...anomalies.map(row("anomaly")),
  ];
}

const position = (point: ChartPoint) => ("time" in point ? Number(point.time) : point.index);
