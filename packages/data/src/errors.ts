/** Where in the input an error lies; `line` counts from 1, a CSV header is line 1. */
export interface Place {
  readonly file: string;
  readonly line?: number | undefined;
  readonly column?: string | undefined;
  /** What `line` counts: JSON and parquet have no lines of their own, so items and rows are counted. */
  readonly unit?: LineUnit | undefined;
}

/** What a table's row numbers in messages count. */
export type LineUnit = "line" | "item" | "row";

/** Input data that cannot be used: the message names the file, the line, what was found and the remedy. */
export class DataError extends Error {
  readonly userFacing = true;
  readonly file: string;
  readonly line: number | undefined;
  readonly column: string | undefined;
  /** The option of `seriesFromTable` that would accept this input. */
  readonly option: "gaps" | "missing" | "idColumn" | undefined;

  constructor(place: Place, message: string, option?: "gaps" | "missing" | "idColumn") {
    const line = place.line === undefined ? "" : `, ${place.unit ?? "line"} ${place.line}`;
    const column = place.column === undefined ? "" : `, column "${place.column}"`;
    super(`${place.file}${line}${column}: ${message}${option === undefined ? "" : ` (option ${option})`}`);
    this.name = "DataError";
    this.file = place.file;
    this.line = place.line;
    this.column = place.column;
    this.option = option;
  }
}

/** A cell as messages show it: quoted, control characters escaped, at most 40 characters. */
export function quoteCell(cell: string): string {
  return JSON.stringify(cell.length > 40 ? `${cell.slice(0, 40)}…` : cell);
}
