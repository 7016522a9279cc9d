import type { TopLevelSpec } from "vega-lite";

export interface LineChart {
  readonly title: string;
  readonly subtitle?: string;
  readonly xTitle: string;
  readonly yTitle: string;
  readonly series: readonly {
    readonly name: string;
    readonly points: readonly { readonly x: number; readonly y: number }[];
  }[];
  /** A logarithmic y axis, for losses; values must be positive. */
  readonly logarithmic?: boolean;
}

/** Several lines over one axis: losses of a training run, errors by horizon. A value that is not finite breaks its line. */
export function lineChartSpec({
  title,
  subtitle,
  xTitle,
  yTitle,
  series,
  logarithmic = false,
}: LineChart): TopLevelSpec {
  const values = series.flatMap(({ name, points }) =>
    points.map(({ x, y }) => ({ series: name, x, y: Number.isFinite(y) ? y : null })),
  );
  return {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    title: subtitle === undefined ? title : { text: title, subtitle },
    data: { values },
    width: 900,
    height: 340,
    mark: { type: "line", strokeWidth: 1.8, strokeJoin: "round" },
    encoding: {
      x: {
        field: "x",
        type: "quantitative",
        title: xTitle,
        scale: { zero: false, nice: false },
        axis: { tickCount: 10 },
      },
      y: {
        field: "y",
        type: "quantitative",
        title: yTitle,
        scale: logarithmic ? { type: "log", nice: false } : { zero: false },
      },
      color: {
        field: "series",
        type: "nominal",
        sort: null,
        legend: series.length > 1 ? { title: null, orient: "top", symbolStrokeWidth: 3, symbolSize: 180 } : null,
      },
    },
  };
}
