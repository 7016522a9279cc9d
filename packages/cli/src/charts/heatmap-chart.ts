import type { TopLevelSpec } from "vega-lite";
import { colors } from "./theme.ts";

export interface HeatmapCell {
  readonly row: number | string;
  readonly column: number | string;
  readonly value: number;
  /** Panel of the cell, such as "layer 3". */
  readonly panel?: string;
}

export interface HeatmapChart {
  readonly title: string;
  readonly subtitle?: string;
  readonly rowTitle: string;
  readonly columnTitle: string;
  /** What the colour means: "share of the router's weight". */
  readonly valueTitle: string;
  /** Rows and columns appear in the order of their first cell. */
  readonly cells: readonly HeatmapCell[];
}

const panelWidth = 900;
const minPanelWidth = 120;
const maxCellWidth = 26;
const cellHeight = 18;
const maxPanelsAbreast = 4;

/**
 * Cells coloured by value, light to dark from 0 to the largest: which experts (rows) a time step or a series (columns) uses.
 * Panels, one a layer, share the scale of colours and stand side by side where they are narrow.
 */
export function heatmapSpec({ title, subtitle, rowTitle, columnTitle, valueTitle, cells }: HeatmapChart): TopLevelSpec {
  const columns = [...new Set(cells.map(({ column }) => column))];
  const panels = [...new Set(cells.map(({ panel }) => panel ?? ""))];
  const cellWidth = Math.min(maxCellWidth, panelWidth / columns.length);
  const width = Math.max(minPanelWidth, columns.length * cellWidth);
  const abreast = Math.max(1, Math.min(maxPanelsAbreast, panels.length, Math.floor(panelWidth / width)));
  const panel = {
    width,
    height: { step: cellHeight },
    mark: "rect" as const,
    encoding: {
      x: band("column", columnTitle, cellWidth, labelAxis(columns, width / columns.length)),
      y: band("row", rowTitle, cellHeight, {}),
      color: {
        field: "value",
        type: "quantitative" as const,
        title: valueTitle,
        scale: { range: [...colors.sequential], domainMin: 0, interpolate: "lab" as const },
        legend: { orient: "top" as const, direction: "horizontal" as const, gradientLength: 220, titleLimit: 400 },
      },
    },
  };
  const frame = {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    title: subtitle === undefined ? title : { text: title, subtitle },
    data: { values: [...cells] },
  };
  if (panels.length < 2) return { ...frame, ...panel };
  return {
    ...frame,
    columns: abreast,
    spacing: 28,
    facet: { field: "panel", type: "nominal", sort: panels },
    spec: panel,
    // a shared axis would also stand below the missing panels of the last row
    resolve: { axis: { x: panels.length % abreast === 0 ? "shared" : "independent" } },
  };
}

const band = (field: "row" | "column", title: string, cellSize: number, axis: object) => ({
  field,
  type: "ordinal" as const,
  sort: null,
  title,
  scale: { padding: cellSize < 6 ? 0 : 0.04 },
  axis: { labelAngle: 0, ticks: false, domain: false, ...axis },
});

const characterWidth = 7;

/** Labels as dense as they fit: every 1st, 2nd, 5th, 10th, ... column, slanted where only a word needs the room. */
function labelAxis(columns: readonly (number | string)[], cellWidth: number) {
  const longest = Math.max(...columns.map((column) => String(column).length)) * characterWidth;
  const slanted = columns.length <= 40 && longest > cellWidth;
  const needed = (slanted ? 14 : longest + 2 * characterWidth) / cellWidth;
  const decade = 10 ** Math.floor(Math.log10(Math.max(1, needed)));
  const every = [1, 2, 5, 10].map((step) => step * decade).find((step) => step >= needed) ?? 1;
  const values = columns.filter((_, index) => index % every === 0);
  return {
    values,
    labelOverlap: false as const,
    ...(slanted ? { labelAngle: -40, titlePadding: 4, labelAlign: "right" as const } : {}),
  };
}
