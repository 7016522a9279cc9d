import { type Column, ColumnBuilder } from "./column.ts";
import { DataError, type LineUnit, type Place, quoteCell } from "./errors.ts";

/** Rows of named columns, with the way back from a row to its line in the source. */
export interface Table {
  /** File name or address, for messages. */
  readonly source: string;
  readonly columns: readonly string[];
  readonly rowCount: number;
  /** Set when the source holds whole series (`{"sequence": [...]}`): the column that tells them apart. */
  readonly idColumn?: string;
  /** @throws {DataError} when there is no such column; the message lists those that exist */
  column(name: string): Column;
  /** Line of a row, from 1 (or item, or row: see `place`). */
  lineOf(row: number): number;
  /** The place of a cell, for a DataError. */
  place(row: number, column?: string): Place;
}

/** Cells a table may hold: 64 Mi numbers are 512 MiB. */
export const MAX_CELLS = 2 ** 26;

/** Collects rows for a table. */
export class TableBuilder {
  private readonly source: string;
  private readonly unit: LineUnit;
  private readonly builders: ColumnBuilder[];
  private lines = new Uint32Array(256);
  private rowCount = 0;

  constructor(source: string, columns: readonly string[], unit: LineUnit = "line") {
    this.source = source;
    this.unit = unit;
    this.builders = columns.map((name) => new ColumnBuilder(name));
  }

  /** @param cells one a column */
  push(cells: readonly (number | string | null)[], line: number): void {
    if ((this.rowCount + 1) * this.builders.length > MAX_CELLS)
      throw new DataError(
        { file: this.source, line, unit: this.unit },
        `the table passes ${MAX_CELLS.toLocaleString("en")} cells, the most that is read; keep only the columns and rows that you need`,
      );
    if (this.rowCount === this.lines.length) {
      const grown = new Uint32Array(this.rowCount * 2);
      grown.set(this.lines);
      this.lines = grown;
    }
    this.lines[this.rowCount++] = line;
    for (let i = 0; i < this.builders.length; i++) (this.builders[i] as ColumnBuilder).push(cells[i] ?? null);
  }

  /** @throws {DataError} when there is no row */
  finish(idColumn?: string): Table {
    const { source, unit, lines, rowCount } = this;
    if (rowCount === 0) throw new DataError({ file: source }, "has a header but no rows; add rows of values below it");
    const columns = new Map(this.builders.map((builder) => [builder.name, builder.finish()]));
    const names = [...columns.keys()];
    const lineOf = (row: number) => lines[row] as number;
    return {
      source,
      columns: names,
      rowCount,
      ...(idColumn === undefined ? {} : { idColumn }),
      lineOf,
      place: (row, column) => ({ file: source, line: lineOf(row), column, unit }),
      column(name) {
        const column = columns.get(name);
        if (!column) throw new DataError({ file: source }, `there is no column "${name}"; ${suggestion(name, names)}`);
        return column;
      },
    };
  }
}

const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;

/**
 * A column as numbers, parsed strictly: an empty cell is missing, anything else that is not a finite number is an
 * error.
 * @param options.missing what an empty cell is: an error (default) or NaN
 * @returns [rowCount] f64
 * @throws {DataError} naming file, line, column, the value found and what was expected
 */
export function numericColumn(table: Table, name: string, options: { missing?: "error" | "nan" } = {}): Float64Array {
  const column = table.column(name);
  const values = new Float64Array(table.rowCount);
  for (let row = 0; row < values.length; row++) {
    const cell = column.cell(row);
    if (cell === "") {
      if (options.missing !== "nan")
        throw new DataError(
          table.place(row, name),
          "the cell is empty, expected a number; fill it in, or allow missing values",
          "missing",
        );
      values[row] = Number.NaN;
      continue;
    }
    const value = typeof cell === "number" ? cell : NUMBER.test(cell) ? Number(cell) : Number.NaN;
    if (!Number.isFinite(value))
      throw new DataError(table.place(row, name), `found ${quoteCell(String(cell))}, expected ${expectation(cell)}`);
    values[row] = value;
  }
  return values;
}

function expectation(cell: number | string): string {
  if (typeof cell === "number" || NUMBER.test(cell) || /^[+-]?inf/i.test(cell))
    return "a finite number (up to 1.8e308); correct the cell, or leave it empty for a missing value";
  if (/^[+-]?[\d.]+,\d+$/.test(cell)) return "a number with a decimal point, as in 1234.5; write it so";
  return "a number; correct the cell, leave it empty for a missing value, or choose another column";
}

function suggestion(name: string, names: readonly string[]): string {
  const listed = names.slice(0, 30).join(", ") + (names.length > 30 ? `, … (${names.length} in all)` : "");
  const distances = names.map((other) => editDistance(name.toLowerCase(), other.toLowerCase()));
  const best = Math.min(...distances);
  const closest = best <= Math.max(1, name.length / 3) ? ` – did you mean "${names[distances.indexOf(best)]}"?` : "";
  return `the columns are ${listed}${closest}`;
}

/** Levenshtein: insertions, deletions and substitutions between two names. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++)
      current[j] = Math.min(
        (previous[j] as number) + 1,
        (current[j - 1] as number) + 1,
        (previous[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1),
      );
    previous = current;
  }
  return previous[b.length] as number;
}
