import { UserError } from "@moebius/cli";
import {
  describeFrequency,
  formatTime,
  guessSeason,
  parseTime,
  readTable,
  type Series,
  seriesFromTable,
  type Table,
  timestampsOf,
} from "@moebius/data";
import type { InputOptions } from "./options.ts";

/** Rows looked at to tell what a column holds. */
const SAMPLE_ROWS = 100;

/** Reads the series that the options name, or the only ones that there can be. */
export async function readSeries(file: string, options: InputOptions): Promise<Series[]> {
  const table = await readTable(file);
  const timeColumn = options.timeColumn ?? findTimeColumn(table);
  const columns = options.column ?? [onlyNumericColumn(table, [timeColumn, options.hourColumn, options.idColumn])];
  const series = seriesFromTable(table, {
    columns,
    gaps: options.fill,
    missing: options.fill === "error" ? "error" : "nan",
    ...(timeColumn === undefined ? {} : { timeColumn }),
    ...(options.hourColumn === undefined ? {} : { hourColumn: options.hourColumn }),
    ...(options.idColumn === undefined ? {} : { idColumn: options.idColumn }),
  });
  return series.map((one) => fillCells(one, options.fill));
}

/** The first column whose first rows all hold times, unless its name is that of a plain number. */
function findTimeColumn(table: Table): string | undefined {
  return table.columns.find((name) => {
    const column = table.column(name);
    const sample = Array.from({ length: Math.min(SAMPLE_ROWS, table.rowCount) }, (_, row) => column.text(row));
    // A year or a count of seconds is a time only where nothing better is there: such columns must be named.
    return sample.every((text) => parseTime(text) !== undefined && /[-/:Q]/i.test(text));
  });
}

function onlyNumericColumn(table: Table, taken: readonly (string | undefined)[]): string {
  const numeric = table.columns.filter((name) => {
    if (taken.includes(name)) return false;
    const column = table.column(name);
    return Array.from({ length: Math.min(SAMPLE_ROWS, table.rowCount) }, (_, row) => column.text(row)).every(
      (text) => text === "" || Number.isFinite(Number(text)),
    );
  });
  if (numeric.length === 1) return numeric[0] as string;
  throw new UserError(
    numeric.length === 0
      ? `${table.source}: no column holds numbers; its columns are ${table.columns.join(", ")}`
      : `${table.source}: choose with --column among the numeric columns ${numeric.join(", ")}`,
  );
}

/** Empty cells, which `fill` allows, are filled as missing rows are. */
function fillCells(series: Series, fill: InputOptions["fill"]): Series {
  if (!series.values.some(Number.isNaN)) return series;
  const values = series.values.slice();
  let filled = series.filled;
  for (let i = 0; i < values.length; i++) {
    if (!Number.isNaN(values[i])) continue;
    filled++;
    const next = values.findIndex((value, k) => k > i && !Number.isNaN(value));
    const before = values[i - 1] ?? values[next] ?? 0;
    if (fill === "zero") values[i] = 0;
    else
      values[i] =
        fill === "interpolate" && next > 0 && i > 0
          ? before + ((values[next] as number) - before) / (next - i + 1)
          : before;
  }
  return { ...series, values, filled };
}

/** Season of a series by its frequency, 1 when it has none. */
export function seasonOf({ frequency }: Series): number {
  return frequency ? guessSeason(frequency) : 1;
}

/** "17544 hourly values of cnt, 2011-01-01 00:00 to 2012-12-31 23:00; 165 were missing and filled" */
export function describeSeries(series: Series): string {
  const { id, values, frequency, filled } = series;
  const times = timestampsOf(series);
  const span =
    times && times.length > 0 ? `, ${formatTime(times[0] as number)} to ${formatTime(times.at(-1) as number)}` : "";
  return `${values.length} ${frequency ? `${describeFrequency(frequency)} ` : ""}values of ${id}${span}${filled > 0 ? `; ${filled} were missing and filled` : ""}`;
}
