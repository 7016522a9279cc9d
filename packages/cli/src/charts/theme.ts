import type { Config } from "vega-lite";

/** What each colour of a chart means; chosen to stay apart for colour-blind readers and in grey. */
export const colors = {
  text: "#1f2937",
  faintText: "#6b7280",
  grid: "#e5e7eb",
  history: "#475569",
  forecast: "#2563eb",
  truth: "#ea8a00",
  anomaly: "#dc2626",
  categories: ["#2563eb", "#ea8a00", "#059669", "#9333ea", "#dc2626", "#0891b2", "#65a30d", "#64748b"],
  sequential: ["#f8fafc", "#c7dcf5", "#7fb0e8", "#3b7dd8", "#1e4fa3", "#172554"],
} as const;

/** The family that fonts.ts brings along for PNG files; an SVG falls back to the viewer's own. */
const font = "Inter, Helvetica, Arial, sans-serif";

/** Typography and axes of every chart. */
export const theme: Config = {
  background: "#ffffff",
  padding: 20,
  font,
  title: {
    anchor: "start",
    frame: "group",
    fontSize: 18,
    fontWeight: 600,
    color: colors.text,
    subtitleColor: colors.faintText,
    subtitleFontSize: 13,
    subtitlePadding: 6,
    offset: 16,
  },
  axis: {
    labelFontSize: 12,
    titleFontSize: 12,
    labelColor: colors.faintText,
    titleColor: colors.text,
    titleFontWeight: "normal",
    titlePadding: 10,
    labelPadding: 6,
    domain: false,
    ticks: false,
    gridColor: colors.grid,
  },
  axisX: {
    labelOverlap: "greedy",
    domain: true,
    domainColor: "#9ca3af",
    ticks: true,
    tickColor: "#9ca3af",
    tickSize: 5,
    grid: false,
    labelFlush: false,
  },
  header: {
    title: null,
    labelFontSize: 13,
    labelFontWeight: 600,
    labelColor: colors.text,
    labelAnchor: "start",
    labelPadding: 8,
  },
  legend: {
    labelFontSize: 12,
    titleFontSize: 12,
    titleFontWeight: "normal",
    labelColor: colors.text,
    titleColor: colors.text,
  },
  view: { stroke: null },
  range: { category: [...colors.categories] },
};
