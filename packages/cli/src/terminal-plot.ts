/// <reference path="./asciichart.d.ts" />
import asciichart from "asciichart";
import { createColors } from "picocolors";
import { colorsFor } from "./colors.ts";
import { padStart, textWidth, truncate } from "./text-width.ts";

export interface TerminalPlotOptions {
  readonly title?: string;
  /** Columns of the whole plot, axis labels included. Default: the terminal's, at most 100. */
  readonly widthColumns?: number;
  readonly heightRows?: number;
  /** What stands under the first point, the first forecast point and the last point, such as dates. */
  readonly labels?: { readonly start: string; readonly forecast: string; readonly end: string };
  /** Positions in the history that get a red mark below the axis, such as anomalies. */
  readonly marks?: readonly number[];
  /** Default: as stdout has it. */
  readonly color?: boolean;
}

/**
 * History and forecast as one line for the terminal. The forecast is blue and dashed, so that it shows without colour
 * too. More points than columns are averaged, fewer are joined by straight lines; missing values (NaN) are bridged.
 * @param history values in time order, at least one of them finite
 * @param forecast the values that follow; may be empty
 */
export function terminalPlot(
  history: ArrayLike<number>,
  forecast: ArrayLike<number>,
  options: TerminalPlotOptions = {},
): string {
  const { title, heightRows = 12, labels, marks = [], color = colorsFor(process.stdout).isColorSupported } = options;
  const { blue, bold, dim, red } = createColors(color);
  const widthColumns = options.widthColumns ?? Math.min(100, process.stdout.columns ?? 100);

  const known = [...bridgeGaps(history), ...bridgeGaps(forecast)];
  const min = known.reduce((least, value) => Math.min(least, value), Infinity);
  const max = known.reduce((most, value) => Math.max(most, value), -Infinity);
  const format = tickFormat(min, max);
  const labelWidth = Math.max(textWidth(format(min)), textWidth(format(max)));

  const plotWidth = Math.max(10, widthColumns - labelWidth - 1);
  const share = forecast.length / Math.max(1, history.length + forecast.length);
  const forecastWidth = forecast.length === 0 ? 0 : Math.min(plotWidth - 2, Math.max(2, Math.round(plotWidth * share)));
  const historyWidth = plotWidth - forecastWidth;
  // one value more than columns: asciichart draws the steps between values
  const line = [...resample(bridgeGaps(history), historyWidth + 1), ...resample(bridgeGaps(forecast), forecastWidth)];

  const chart = asciichart.plot(line, {
    height: heightRows - 1,
    offset: 2,
    format: (value) => padStart(format(value), labelWidth),
  });
  const boundary = labelWidth + 1 + historyWidth;
  const rows = chart.split("\n").map((row) => row.slice(0, boundary) + blue(dashed(row.slice(boundary).trimEnd())));
  const axis = `${" ".repeat(labelWidth)}└${"─".repeat(historyWidth)}${forecastWidth > 0 ? `┴${"─".repeat(forecastWidth - 1)}` : ""}`;
  const start = labels?.start ?? "history";
  const middle = forecastWidth > 0 ? (labels?.forecast ?? "forecast") : "";
  const end = labels?.end ?? "";
  return [
    ...(title === undefined ? [] : [bold(truncate(title, widthColumns))]),
    ...rows,
    dim(axis),
    ...(marks.length === 0 ? [] : [red(" ".repeat(labelWidth + 1) + markRow(marks, historyWidth / history.length))]),
    dim(placeLabels(labelWidth + 1, boundary, labelWidth + 1 + plotWidth, start, middle, end)),
  ].join("\n");
}

/** Missing values replaced on a straight line between their neighbours; at the ends by the nearest value. */
function bridgeGaps(values: ArrayLike<number>): number[] {
  const filled = Array.from(values);
  let previous = -1;
  for (let index = 0; index <= filled.length; index++) {
    if (index < filled.length && !Number.isFinite(filled[index])) continue;
    const before = filled[previous] ?? filled[index] ?? 0;
    const after = filled[index] ?? before;
    for (let gap = previous + 1; gap < index; gap++) {
      filled[gap] = before + ((after - before) * (gap - previous)) / (index - previous);
    }
    previous = index;
  }
  return filled;
}

/** `values` brought to `length` points: means of equal stretches when there are more, straight lines when there are fewer. */
function resample(values: readonly number[], length: number): number[] {
  const at = (position: number) => {
    const left = Math.floor(position);
    const from = values[left] ?? 0;
    return from + ((values[left + 1] ?? from) - from) * (position - left);
  };
  return Array.from({ length }, (_, index) => {
    if (values.length <= length) return at((index * (values.length - 1)) / Math.max(1, length - 1));
    const stretch = values.slice(
      Math.floor((index * values.length) / length),
      Math.floor(((index + 1) * values.length) / length),
    );
    return stretch.reduce((sum, value) => sum + value, 0) / stretch.length;
  });
}

const dashes: Record<string, string> = { "─": "╌", "│": "╎" };
const dashed = (row: string) => row.replaceAll(/[─│]/g, (stroke) => dashes[stroke] ?? stroke);

/** Labels with four significant digits of the range. */
function tickFormat(min: number, max: number): (value: number) => string {
  const scale = Math.max(Math.abs(min), Math.abs(max));
  if (scale !== 0 && (scale >= 1e7 || scale < 1e-3)) return (value) => value.toExponential(2);
  const range = max - min || scale || 1;
  const decimals = Math.min(6, Math.max(0, 2 - Math.floor(Math.log10(range))));
  return (value) => value.toFixed(decimals);
}

function markRow(marks: readonly number[], columnsPerValue: number): string {
  const row: string[] = [];
  for (const mark of marks) row[Math.floor(mark * columnsPerValue)] = "▲";
  return Array.from(row, (mark) => mark ?? " ").join("");
}

/** The start label at the left, the middle one from its column on, the end one at the right; one that would overlap is left out. */
function placeLabels(
  left: number,
  middleAt: number,
  right: number,
  start: string,
  middle: string,
  end: string,
): string {
  let row = " ".repeat(left) + start;
  const endAt = right - textWidth(end);
  const middleStart = Math.min(middleAt, endAt - (end === "" ? 0 : 2) - textWidth(middle));
  if (middle !== "" && middleStart > textWidth(row)) row += " ".repeat(middleStart - textWidth(row)) + middle;
  if (endAt > textWidth(row)) row += " ".repeat(endAt - textWidth(row)) + end;
  return row.trimEnd();
}
