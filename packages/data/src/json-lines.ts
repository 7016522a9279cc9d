import { type ByteSource, plainBytes, textChunks } from "./bytes.ts";
import type { ReadOptions } from "./csv.ts";
import { DataError, type LineUnit, quoteCell } from "./errors.ts";
import { type Table, TableBuilder } from "./table.ts";

const MAX_LINE_CHARACTERS = 2 ** 26;
const MAX_JSON_BYTES = 2 ** 28;
const EXPECTED = 'an object of cells, an array of numbers, or {"sequence": [numbers]}';

/**
 * Reads JSON lines: objects of cells (the first one names the columns), or whole series, one a line, as arrays of
 * numbers or `{"sequence": [...]}` with an optional "id". Series become rows of two columns, "id" (default: the line)
 * and "sequence".
 * @throws {DataError} naming the line
 */
export async function readJsonLines(
  source: ByteSource | string,
  file: string,
  options: ReadOptions = {},
): Promise<Table> {
  const bytes = typeof source === "string" ? new TextEncoder().encode(source) : source;
  const collector = new JsonCollector(file, "line");
  let rest = "";
  let line = 1;
  const take = (text: string) => {
    if (text.trim() !== "") collector.push(parseJson(text, { file, line }), line);
    line++;
  };
  for await (const text of textChunks(plainBytes(bytes, file, options.maxSizeBytes), file)) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const each of lines) take(each);
    if (rest.length > MAX_LINE_CHARACTERS)
      throw new DataError(
        { file, line },
        `the line is longer than ${MAX_LINE_CHARACTERS.toLocaleString("en")} characters; write one value a line`,
      );
  }
  take(rest);
  return collector.finish();
}

/**
 * Reads a JSON file: an array of what JSON lines hold, one such value, or an array of numbers. Messages count items
 * from 1.
 * @throws {DataError} naming the item
 */
export async function readJson(source: ByteSource | string, file: string, options: ReadOptions = {}): Promise<Table> {
  const bytes = typeof source === "string" ? new TextEncoder().encode(source) : source;
  const limitBytes = Math.min(options.maxSizeBytes ?? MAX_JSON_BYTES, MAX_JSON_BYTES);
  let text = "";
  for await (const chunk of textChunks(plainBytes(bytes, file, limitBytes), file)) text += chunk;
  if (text.trim() === "") throw new DataError({ file }, `is empty; expected an array, each item ${EXPECTED}`);
  const value = parseJson(text, { file });
  const items =
    Array.isArray(value) && !value.every((item) => typeof item === "number" || item === null) ? value : [value];
  const collector = new JsonCollector(file, "item");
  items.forEach((item, i) => {
    collector.push(item, i + 1);
  });
  return collector.finish();
}

function parseJson(text: string, place: { file: string; line?: number }): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const hint = /\b(NaN|Infinity)\b/.test(text)
      ? "write null for a missing value"
      : `expected ${EXPECTED}; correct it`;
    throw new DataError(place, `is not JSON (${(error as Error).message}); ${hint}`);
  }
}

/** Turns parsed values into rows; the first value decides whether they are rows or whole series. */
class JsonCollector {
  private readonly file: string;
  private readonly unit: LineUnit;
  private table: TableBuilder | undefined;
  private keys: ReadonlySet<string> | undefined;

  constructor(file: string, unit: LineUnit) {
    this.file = file;
    this.unit = unit;
  }

  push(value: unknown, line: number): void {
    const sequence = Array.isArray(value) ? { sequence: value } : value;
    if (typeof sequence !== "object" || sequence === null)
      throw this.error(line, `found ${describe(value)}, expected ${EXPECTED}; correct it`);
    const record = sequence as Record<string, unknown>;
    const isSeries = Array.isArray(record.sequence);
    if (!this.table) {
      if (Object.keys(record).length === 0)
        throw this.error(line, "found an object without keys, expected named cells; add them");
      if (!isSeries) this.keys = new Set(Object.keys(record));
      this.table = new TableBuilder(this.file, isSeries ? ["id", "sequence"] : Object.keys(record), this.unit);
    }
    if (isSeries !== (this.keys === undefined))
      throw this.error(line, "rows and whole series are mixed; give them in separate files");
    if (isSeries) this.pushSeries(this.table, record, line);
    else this.pushRow(this.table, record, line);
  }

  finish(): Table {
    if (!this.table) throw new DataError({ file: this.file }, `is empty; expected values, each ${EXPECTED}`);
    return this.table.finish(this.keys ? undefined : "id");
  }

  private pushSeries(table: TableBuilder, record: Record<string, unknown>, line: number): void {
    const id = record.id === undefined ? line : this.cell(record.id, "id", line);
    for (const value of record.sequence as unknown[]) table.push([id, this.cell(value, "sequence", line)], line);
  }

  /**
   * A key that is absent is a missing cell; one that the first row did not have is an error, so that no column is
   * lost.
   */
  private pushRow(table: TableBuilder, record: Record<string, unknown>, line: number): void {
    const keys = this.keys as ReadonlySet<string>;
    for (const key of Object.keys(record))
      if (!keys.has(key))
        throw this.error(
          line,
          `the key is not in the first ${this.unit}; add it there (null if missing) or remove it here`,
          key,
        );
    table.push(
      [...keys].map((key) => (Object.hasOwn(record, key) ? this.cell(record[key], key, line) : null)),
      line,
    );
  }

  private cell(value: unknown, column: string, line: number): number | string | null {
    if (value === null || typeof value === "number" || typeof value === "string") return value;
    if (typeof value === "boolean") return String(value);
    throw this.error(line, `found ${describe(value)}, expected a number, text or null; flatten it`, column);
  }

  private error(line: number, message: string, column?: string): DataError {
    return new DataError({ file: this.file, line, column, unit: this.unit }, message);
  }
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" && value !== null ? "an object" : quoteCell(JSON.stringify(value));
}
