import { colorsFor } from "./colors.ts";
import { padEnd, padStart, textWidth, truncate } from "./text-width.ts";

export interface Column {
  readonly header: string;
  /** Decimals of this column's numbers; without it, as many as show four significant digits of the largest. */
  readonly decimals?: number;
}

export type Cell = string | number | boolean | null;

export interface TableOptions {
  /** Text columns shrink until a row fits; numbers are never cut. Default: no limit. */
  readonly widthColumns?: number;
  /** Longer tables show their first and last rows. Default: no limit. */
  readonly maxRows?: number;
  /** Draws a line under a bold header. */
  readonly styled?: boolean;
}

const separator = "  ";
const minTextWidth = 8;

/** Aligned columns, one line a row: numbers to the right with equal decimals, texts to the left, null as "-". */
export function formatTable(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  options: TableOptions = {},
): string {
  const { widthColumns = Infinity, maxRows = Infinity, styled = false } = options;
  const texts = columns.map((column, index) =>
    cellTexts(
      column,
      rows.map((row) => row[index] ?? null),
    ),
  );
  const numeric = columns.map(
    (_, index) => rows.length > 0 && rows.every((row) => typeof (row[index] ?? 0) === "number"),
  );
  const widths = columns.map((column, index) =>
    (texts[index] ?? []).reduce((widest, text) => Math.max(widest, textWidth(text)), textWidth(column.header)),
  );
  shrinkTexts(widths, numeric, widthColumns);

  const line = (cells: readonly string[]) => {
    const padded = cells.map((cell, index) => {
      const width = widths[index] ?? 0;
      return numeric[index] ? padStart(cell, width) : padEnd(truncate(cell, width), width);
    });
    return truncate(padded.join(separator).trimEnd(), widthColumns);
  };
  const header = line(columns.map((column) => column.header));
  const { bold, dim } = colorsFor({ isTTY: styled });
  const rule = line(widths.map((width) => "─".repeat(width)));
  const body = rows.map((_, row) => line(texts.map((column) => column[row] ?? "")));
  if (body.length > maxRows) {
    const head = Math.ceil(maxRows / 2);
    body.splice(head, body.length - maxRows, `… ${body.length - maxRows} more rows`);
  }
  return [...(styled ? [bold(header), dim(rule)] : [header]), ...body].join("\n");
}

/** Prints a table on stdout: styled and fitted to the width in a terminal; whole and plain in a file or pipe. */
export function printTable(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  options: { readonly maxRows?: number } = {},
): void {
  const terminal = process.stdout.isTTY ? { styled: true, widthColumns: process.stdout.columns } : {};
  process.stdout.write(`${formatTable(columns, rows, { ...options, ...terminal })}\n`);
}

function cellTexts(column: Column, cells: readonly Cell[]): string[] {
  const numbers = cells.filter((cell) => typeof cell === "number").filter(Number.isFinite);
  const decimals = column.decimals ?? (numbers.every(Number.isInteger) ? 0 : decimalsFor(numbers));
  return cells.map((cell) => {
    if (cell === null) return "-";
    if (typeof cell !== "number") return String(cell).replaceAll(/[\p{Cc}\u2028\u2029]/gu, " ");
    return Number.isFinite(cell) ? cell.toFixed(decimals) : String(cell);
  });
}

/** Decimals that show four significant digits of the largest number. */
function decimalsFor(numbers: readonly number[]): number {
  const largest = numbers.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return largest === 0 ? 0 : Math.min(12, Math.max(0, 3 - Math.floor(Math.log10(largest))));
}

/** Takes the missing columns from the widest texts first, down to a width that can still be recognised. */
function shrinkTexts(widths: number[], numeric: readonly boolean[], widthColumns: number): void {
  const total = () => widths.reduce((sum, width) => sum + width, separator.length * (widths.length - 1));
  while (total() > widthColumns) {
    const widest = widths.reduce(
      (best, width, index) => (!numeric[index] && width > (widths[best] ?? 0) ? index : best),
      -1,
    );
    if (widest < 0 || (widths[widest] ?? 0) <= minTextWidth) return;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
}
