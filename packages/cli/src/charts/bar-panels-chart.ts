import type { TopLevelSpec } from "vega-lite";

export interface BarPanelsChart {
  readonly title: string;
  readonly subtitle?: string;
  /** Rows in order; rows of one group have one colour. */
  readonly rows: readonly { readonly name: string; readonly group: string }[];
  /** Panels side by side, each with its own scale: a value a row, in the rows' order. */
  readonly panels: readonly {
    readonly title: string;
    readonly values: readonly number[];
    /** Half the width of a line around each value. */
    readonly spread?: readonly number[];
    /** Whether the axis begins at 0. Default true; otherwise values are dots. */
    readonly fromZero?: boolean;
  }[];
}

const panelWidth = 170;
const rowHeight = 15;

/** Several measures of the same things, one panel a measure: what is better in one and worse in another. */
export function barPanelsSpec({ title, subtitle, rows, panels }: BarPanelsChart): TopLevelSpec {
  const names = rows.map(({ name }) => name);
  const color = { field: "group", type: "nominal" as const, legend: null, sort: null };
  return {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    title: subtitle === undefined ? title : { text: title, subtitle },
    spacing: 14,
    hconcat: panels.map(({ title, values, spread, fromZero = true }, index) => {
      const x = { type: "quantitative" as const, title, scale: { zero: fromZero }, axis: { tickCount: 4 } };
      const y = {
        field: "name",
        type: "nominal" as const,
        sort: [...names],
        title: null,
        axis: index === 0 ? { labelLimit: 520 } : { labels: false, ticks: false },
      };
      return {
        width: panelWidth,
        height: { step: rowHeight },
        data: {
          values: rows.map(({ name, group }, i) => {
            const [value = 0, around = 0] = [values[i], spread?.[i]];
            return { name, group, value, low: value - around, high: value + around };
          }),
        },
        layer: [
          ...(spread
            ? [
                {
                  mark: { type: "rule" as const, strokeWidth: 1.5, opacity: 0.6 },
                  encoding: { x: { ...x, field: "low" }, x2: { field: "high" }, y, color },
                },
              ]
            : []),
          {
            mark: fromZero ? { type: "bar" as const, height: 10 } : { type: "point" as const, filled: true, size: 60 },
            encoding: { x: { ...x, field: "value" }, y, color },
          },
        ],
      };
    }),
  };
}
