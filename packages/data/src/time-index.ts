import { DataError, quoteCell } from "./errors.ts";
import { numericColumn, type Table } from "./table.ts";
import {
  addSteps,
  describeFrequency,
  detectFrequency,
  type Frequency,
  formatTime,
  parseTime,
  stepsBetween,
} from "./time.ts";

/** What to do with missing stamps: refuse, or fill with zero, the value before, a straight line, or NaN. */
export type GapPolicy = "error" | "zero" | "previous" | "interpolate" | "nan";

/** Where a table's times are. */
export interface TimeColumns {
  readonly timeColumn: string;
  /** Hours 0..23 to add, for tables with a date and an hour. */
  readonly hourColumn?: string | undefined;
}

/** Rows placed on a regular grid. */
export interface TimeIndex {
  readonly start: Date;
  readonly frequency: Frequency;
  /** Stamps from the first row to the last. */
  readonly length: number;
  /** [rows] u32: where each row lies on the grid, increasing. */
  readonly positions: Uint32Array;
  /** Stamps without a row. */
  readonly missing: number;
}

/** A grid this much longer than the rows is one wrong stamp, not a series with gaps. */
const MAX_STRETCH = 20;

/**
 * The stamps of all rows.
 * @returns [rowCount] f64, ms since 1970
 * @throws {DataError} naming the cell that is no time
 */
export function readTimes(table: Table, { timeColumn, hourColumn }: TimeColumns): Float64Array {
  const column = table.column(timeColumn);
  const hours = hourColumn === undefined ? undefined : numericColumn(table, hourColumn);
  const times = new Float64Array(table.rowCount);
  for (let row = 0; row < times.length; row++) {
    const text = column.text(row);
    const time = parseTime(text);
    if (time === undefined)
      throw new DataError(
        table.place(row, timeColumn),
        `${text === "" ? "the cell is empty" : `found ${quoteCell(text)}`}, expected a time; write ISO dates as in 2011-01-31 or 2011-01-31 05:00, or seconds since 1970`,
      );
    const hour = hours?.[row] ?? 0;
    if (!(Number.isInteger(hour) && hour >= 0 && hour <= 23))
      throw new DataError(
        table.place(row, hourColumn),
        `found ${hour}, expected an hour from 0 to 23; correct the cell or choose another column`,
      );
    times[row] = time + hour * 3_600_000;
  }
  return times;
}

/**
 * Checks that stamps increase and places them on a grid of their most common step.
 * @param times [rowCount of the table] ms since 1970, as `readTimes` gives them
 * @param rows the rows of one series, in order
 * @throws {DataError} for unsorted and duplicate stamps, stamps between steps, fewer than two rows, and gaps unless
 * they are to be filled
 */
export function timeIndex(
  table: Table,
  times: Float64Array,
  rows: Uint32Array,
  timeColumn: string,
  gaps: GapPolicy = "error",
): TimeIndex {
  const at = (i: number) => times[rows[i] as number] as number;
  const place = (i: number) => table.place(rows[i] as number, timeColumn);
  const shown = (i: number) => `${formatTime(at(i))} (${place(i).unit} ${place(i).line})`;
  if (rows.length < 2)
    throw new DataError(place(0), "a single row has no frequency; give at least two, better hundreds");
  for (let i = 1; i < rows.length; i++) {
    if (at(i) < at(i - 1))
      throw new DataError(place(i), `${formatTime(at(i))} comes after ${shown(i - 1)}; sort the rows by time`);
    if (at(i) === at(i - 1))
      throw new DataError(
        place(i),
        `${formatTime(at(i))} was already given in ${place(i - 1).unit} ${place(i - 1).line}; keep one row a time, or name the column that tells several series apart`,
        "idColumn",
      );
  }
  const frequency = detectFrequency(Float64Array.from(rows, (row) => times[row] as number));
  const step = describeFrequency(frequency);
  const positions = new Uint32Array(rows.length);
  let firstGap = 0;
  for (let i = 1; i < rows.length; i++) {
    const position = stepsBetween(at(0), at(i), frequency);
    if (position === undefined)
      throw new DataError(
        place(i),
        `${formatTime(at(i))} lies between two steps: most rows are one ${step} apart, counted from ${shown(0)}; correct it, or resample to a regular step`,
      );
    if (position >= 2 ** 32 || position + 1 > MAX_STRETCH * (rows.length + 50))
      throw new DataError(
        place(i),
        `${formatTime(at(i))} is ${position.toLocaleString("en")} steps of one ${step} after ${shown(0)}, too far for ${rows.length} rows; correct the time`,
      );
    positions[i] = position;
    if (firstGap === 0 && position > (positions[i - 1] as number) + 1) firstGap = i;
  }
  const length = (positions.at(-1) as number) + 1;
  const missing = length - rows.length;
  if (missing > 0 && gaps === "error") {
    const first = addSteps(at(0), frequency, (positions[firstGap - 1] as number) + 1);
    throw new DataError(
      place(firstGap),
      `a time is missing before this row: ${formatTime(first)}, after ${shown(firstGap - 1)}; ${missing} of ${length} are missing at one ${step} a row; add the rows, or have the gaps filled`,
      "gaps",
    );
  }
  return { start: new Date(at(0)), frequency, length, positions, missing };
}

/**
 * Values on the regular grid, the missing ones filled.
 * @param values [rows] f64, one a row of the index
 * @returns [length] f64
 */
export function fillGaps(index: TimeIndex, values: Float64Array, gaps: GapPolicy): Float64Array {
  const filled = new Float64Array(index.length).fill(gaps === "zero" ? 0 : Number.NaN);
  for (let i = 0; i < values.length; i++) {
    const position = index.positions[i] as number;
    const value = values[i] as number;
    filled[position] = value;
    if (i === 0 || (gaps !== "previous" && gaps !== "interpolate")) continue;
    const before = index.positions[i - 1] as number;
    const slope = gaps === "previous" ? 0 : (value - (values[i - 1] as number)) / (position - before);
    for (let p = before + 1; p < position; p++) filled[p] = (values[i - 1] as number) + slope * (p - before);
  }
  return filled;
}
