import { openFile } from "#files";
import type { ByteSource } from "./bytes.ts";
import { type CsvOptions, readCsv } from "./csv.ts";
import { DataError } from "./errors.ts";
import { readJson, readJsonLines } from "./json-lines.ts";
import { readParquet } from "./parquet.ts";
import type { Table } from "./table.ts";

/** What a source holds; each may be gzipped. */
export type TableFormat = "csv" | "tsv" | "jsonl" | "json" | "parquet";

const EXTENSIONS: Record<string, TableFormat> = {
  csv: "csv",
  txt: "csv",
  tsv: "tsv",
  tab: "tsv",
  jsonl: "jsonl",
  ndjson: "jsonl",
  json: "json",
  parquet: "parquet",
};

/** Options of `readTable`. */
export interface ReadTableOptions extends CsvOptions {
  /**
   * Default: told by the extension (.csv .tsv .jsonl .ndjson .json .parquet, each also with .gz); csv for streams and
   * "-".
   */
  readonly format?: TableFormat;
  /** Name of a stream in messages. */
  readonly name?: string;
}

/**
 * Reads a table.
 * @param source a path, "-" for standard input, bytes or a stream; in a page an address takes the place of the path
 * @throws {DataError} naming file, line and remedy
 */
export async function readTable(source: string | ByteSource, options: ReadTableOptions = {}): Promise<Table> {
  const name = options.name ?? (typeof source !== "string" ? "stream" : source === "-" ? "standard input" : source);
  const format = options.format ?? formatOf(typeof source === "string" && source !== "-" ? source : name);
  const bytes = typeof source === "string" ? await openFile(source) : source;
  if (format === "parquet") return readParquet(bytes, name, options);
  if (format === "jsonl") return readJsonLines(bytes, name, options);
  if (format === "json") return readJson(bytes, name, options);
  return readCsv(bytes, name, format === "tsv" ? { delimiter: "\t", ...options } : options);
}

function formatOf(name: string): TableFormat {
  const extension = /\.(?!gz\b)([a-z0-9]+)(?:\.gz)?(?:[?#].*)?$/i.exec(name)?.[1]?.toLowerCase();
  if (extension === undefined) return "csv";
  const format = EXTENSIONS[extension];
  if (format === undefined)
    throw new DataError(
      { file: name },
      `the extension .${extension} is not known; rename it to .csv, .tsv, .jsonl, .json or .parquet (each also with .gz), or name the format`,
    );
  return format;
}
