import { type ByteSource, newlines, plainBytes, textChunks } from "./bytes.ts";
import { DataError, quoteCell } from "./errors.ts";
import { type Table, TableBuilder } from "./table.ts";

/** Options of every reader. */
export interface ReadOptions {
  /** Refuses sources beyond this size after decompression; default 1 GiB. */
  readonly maxSizeBytes?: number;
}

/** Options of `readCsv`. */
export interface CsvOptions extends ReadOptions {
  /** One character between cells; default: the one of comma, semicolon and tab that splits the header most often. */
  readonly delimiter?: string;
}

/** A row longer than this is a quote that was never closed. */
const MAX_ROW_CHARACTERS = 2 ** 20;
const QUOTE = 34;
const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;
const SPACE = 32;

/**
 * Reads a CSV table: the first line names the columns, cells may be quoted and then hold delimiters, line breaks and
 * doubled quotes (RFC 4180), spaces around cells do not count. Blank lines are skipped, but in a single column they are
 * missing cells.
 * @throws {DataError} naming the line, for empty or binary input, ragged rows, duplicate names, open quotes, a missing
 * header
 */
export async function readCsv(source: ByteSource | string, file: string, options: CsvOptions = {}): Promise<Table> {
  const bytes = typeof source === "string" ? new TextEncoder().encode(source) : source;
  const parser = new CsvParser(file, options.delimiter);
  for await (const text of textChunks(plainBytes(bytes, file, options.maxSizeBytes), file)) parser.write(text);
  return parser.finish();
}

/** The cells of one row and where the text after it begins. */
interface Row {
  readonly cells: string[];
  readonly end: number;
  /** Line ends in it and after it. */
  readonly lines: number;
  /** Nothing at all, not even a quoted empty cell. */
  readonly blank: boolean;
}

class CsvParser {
  private readonly file: string;
  private delimiter: string | undefined;
  private rest = "";
  private line = 1;
  private columns: string[] | undefined;
  private table: TableBuilder | undefined;
  private blankLines: number[] = [];

  constructor(file: string, delimiter: string | undefined) {
    this.file = file;
    this.delimiter = delimiter;
  }

  write(text: string): void {
    this.consume(this.rest + text, false);
  }

  finish(): Table {
    this.consume(this.rest, true);
    if (!this.table)
      throw new DataError({ file: this.file }, "is empty; expected a line of column names and rows of values");
    return this.table.finish();
  }

  private consume(text: string, final: boolean): void {
    let at = 0;
    while (at < text.length) {
      if (this.delimiter === undefined) {
        this.delimiter = detectDelimiter(text, at, final);
        if (this.delimiter === undefined) break;
      }
      const row = this.readRow(text, at, this.delimiter, final);
      if (!row) break;
      this.accept(row);
      this.line += row.lines;
      at = row.end;
    }
    this.rest = text.slice(at);
    if (this.rest.length > MAX_ROW_CHARACTERS)
      throw this.error(
        `the row is longer than ${MAX_ROW_CHARACTERS.toLocaleString("en")} characters; close the quote that opens in it, or split it`,
      );
  }

  private error(message: string, line = this.line): DataError {
    return new DataError({ file: this.file, line }, message);
  }

  /** @returns undefined when the row goes on beyond the text */
  private readRow(text: string, start: number, delimiter: string, final: boolean): Row | undefined {
    const separator = delimiter.charCodeAt(0);
    const cells: string[] = [];
    let at = start;
    let lines = 1;
    for (;;) {
      let from = at;
      while (text.charCodeAt(from) === SPACE) from++;
      if (text.charCodeAt(from) === QUOTE) {
        const cell = this.readQuoted(text, from + 1, final);
        if (!cell) return undefined;
        cells.push(cell.value);
        lines += newlines(cell.value);
        at = cell.end;
        while (text.charCodeAt(at) === SPACE) at++;
      } else {
        for (let code = text.charCodeAt(at); at < text.length; code = text.charCodeAt(++at))
          if (code === separator || code === LINE_FEED || code === CARRIAGE_RETURN) break;
        cells.push(trimmed(text, from, at));
      }
      if (at === text.length)
        return final ? { cells, end: at, lines, blank: cells.length === 1 && at === from } : undefined;
      const code = text.charCodeAt(at);
      if (code === separator) {
        at++;
        continue;
      }
      const blank = cells.length === 1 && from === at;
      if (code === LINE_FEED) return { cells, end: at + 1, lines, blank };
      if (code !== CARRIAGE_RETURN)
        throw this.error(
          `found ${quoteCell(text.slice(at, at + 20))} after a closing quote, expected the next cell; double the quotes inside a quoted cell`,
        );
      if (at + 1 === text.length && !final) return undefined;
      return { cells, end: text.charCodeAt(at + 1) === LINE_FEED ? at + 2 : at + 1, lines, blank };
    }
  }

  private readQuoted(text: string, start: number, final: boolean): { value: string; end: number } | undefined {
    let value = "";
    for (let from = start; ; ) {
      const quote = text.indexOf('"', from);
      if (quote < 0 && final) throw this.error("a quote opens in this row and is never closed; close it, or remove it");
      if (quote < 0 || (quote + 1 === text.length && !final)) return undefined;
      if (text.charCodeAt(quote + 1) !== QUOTE) return { value: value + text.slice(from, quote), end: quote + 1 };
      value += text.slice(from, quote + 1);
      from = quote + 2;
    }
  }

  private accept({ cells, blank }: Row): void {
    if (blank) {
      if (this.columns?.length === 1) this.blankLines.push(this.line);
      return;
    }
    if (!this.columns || !this.table) {
      this.columns = this.header(cells);
      this.table = new TableBuilder(this.file, this.columns);
      return;
    }
    const expected = this.columns.length;
    if (cells.length !== expected)
      throw this.error(
        `found ${cells.length} cells, expected ${expected} as in the header; add or remove cells, or quote a cell that holds the delimiter "${this.delimiter === "\t" ? "tab" : this.delimiter}"`,
      );
    for (const line of this.blankLines) this.table.push([""], line);
    this.blankLines = [];
    this.table.push(cells, this.line);
  }

  private header(cells: readonly string[]): string[] {
    if (cells.every((cell) => cell !== "" && Number.isFinite(Number(cell))))
      throw this.error(
        `expected column names, found numbers (${quoteCell(cells.join(", "))}); add a first line that names the columns`,
      );
    const names = cells.map((cell, i) => cell || `column ${i + 1}`);
    const duplicate = names.find((name, i) => names.indexOf(name) !== i);
    if (duplicate !== undefined) throw this.error(`two columns are named "${duplicate}"; rename one of them`);
    return names;
  }
}

/** `trim` on every cell would be a third of the time of reading; spaces are rare. */
function trimmed(text: string, from: number, to: number): string {
  const cell = text.slice(from, to);
  return text.charCodeAt(to - 1) <= SPACE || text.charCodeAt(from) <= SPACE ? cell.trim() : cell;
}

/** @returns undefined while the first line with text is not complete */
function detectDelimiter(text: string, start: number, final: boolean): string | undefined {
  const counts = { ",": 0, ";": 0, "\t": 0 };
  let quoted = false;
  let blank = true;
  for (let i = start; i < text.length; i++) {
    const character = text[i] as string;
    if (character === '"') quoted = !quoted;
    else if (!quoted && (character === "\n" || character === "\r")) {
      if (!blank) return best(counts);
      continue;
    } else if (!quoted && character in counts) counts[character as keyof typeof counts]++;
    blank = false;
  }
  return final ? best(counts) : undefined;
}

function best(counts: Record<string, number>): string {
  return Object.keys(counts).reduce((a, b) => ((counts[b] as number) > (counts[a] as number) ? b : a));
}
