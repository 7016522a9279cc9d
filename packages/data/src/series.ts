import { DataError } from "./errors.ts";
import { numericColumn, type Table } from "./table.ts";
import { type Frequency, stampsFrom } from "./time.ts";
import { fillGaps, type GapPolicy, readTimes, type TimeColumns, timeIndex } from "./time-index.ts";

/** Values at a regular step; without a start they are only in order. */
export interface Series {
  readonly id: string;
  /** [T] f64; NaN is a missing value. */
  readonly values: Float64Array;
  readonly start?: Date;
  readonly frequency?: Frequency;
  /** Steps that had no row and were filled. */
  readonly filled: number;
}

/** Options of `seriesFromTable`. */
export interface SeriesOptions extends Partial<TimeColumns> {
  /** The columns to take, each a series. */
  readonly columns: readonly string[];
  /** Tells several series apart whose rows stand in one table. */
  readonly idColumn?: string;
  /** Missing stamps; default: an error. */
  readonly gaps?: GapPolicy;
  /** Empty cells; default: an error. */
  readonly missing?: "error" | "nan";
}

/**
 * The series of a table: one a column and id. Ids are the column's name, the cell of the id column, or "id/column" when
 * there are several of both. Rows of different ids may alternate; those of one id must be in order of time.
 * @throws {DataError} for missing columns, cells that are no numbers or times, unsorted or duplicate times, gaps
 */
export function seriesFromTable(table: Table, options: SeriesOptions): Series[] {
  const { columns, timeColumn, hourColumn, gaps = "error", missing = "error" } = options;
  const idColumn = options.idColumn ?? table.idColumn;
  if (columns.length === 0)
    throw new DataError({ file: table.source }, `no column was chosen; the columns are ${table.columns.join(", ")}`);
  if (hourColumn !== undefined && timeColumn === undefined)
    throw new DataError({ file: table.source, column: hourColumn }, "hours need dates; name the time column too");
  const values = columns.map((name) => numericColumn(table, name, { missing }));
  const times = timeColumn === undefined ? undefined : readTimes(table, { timeColumn, hourColumn });
  const series: Series[] = [];
  for (const [id, rows] of groupRows(table, idColumn)) {
    const index = times && timeIndex(table, times, rows, timeColumn as string, gaps);
    columns.forEach((name, c) => {
      const own = Float64Array.from(rows, (row) => (values[c] as Float64Array)[row] as number);
      series.push({
        id: id === undefined ? name : columns.length === 1 ? id : `${id}/${name}`,
        values: index ? fillGaps(index, own, gaps) : own,
        ...(index ? { start: index.start, frequency: index.frequency } : {}),
        filled: index?.missing ?? 0,
      });
    });
  }
  return series;
}

function groupRows(table: Table, idColumn: string | undefined): Map<string | undefined, Uint32Array> {
  if (idColumn === undefined)
    return new Map([[undefined, Uint32Array.from({ length: table.rowCount }, (_, row) => row)]]);
  const groups = new Map<string, number[]>();
  const ids = table.column(idColumn);
  for (let row = 0; row < table.rowCount; row++) {
    const id = ids.text(row);
    if (id === "")
      throw new DataError(table.place(row, idColumn), "the cell is empty, expected the name of a series; fill it in");
    const rows = groups.get(id);
    if (rows) rows.push(row);
    else groups.set(id, [row]);
  }
  return new Map([...groups].map(([id, rows]) => [id, Uint32Array.from(rows)]));
}

/** Stamps of a series' values in ms since 1970, or undefined without a time column. [T] f64 */
export function timestampsOf({ start, frequency, values }: Series): Float64Array | undefined {
  return start && frequency && stampsFrom(start, frequency, 0, values.length);
}

/**
 * Stamps of the `horizon` steps after the last value in ms since 1970, or undefined without a time column. [horizon]
 * f64
 */
export function futureTimestamps({ start, frequency, values }: Series, horizon: number): Float64Array | undefined {
  return start && frequency && stampsFrom(start, frequency, values.length, horizon);
}
