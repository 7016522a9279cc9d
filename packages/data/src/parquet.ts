import { type DecodedArray, parquetMetadata, parquetRead } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { type ByteSource, collect, plainBytes } from "./bytes.ts";
import type { ReadOptions } from "./csv.ts";
import { DataError, type Place } from "./errors.ts";
import { MAX_CELLS, type Table, TableBuilder } from "./table.ts";

/**
 * Reads the flat columns of a parquet file; messages count rows from 1. Dates become ISO text, null a missing cell.
 * @throws {DataError} for damaged files and nested columns
 */
export async function readParquet(source: ByteSource, file: string, options: ReadOptions = {}): Promise<Table> {
  const bytes = await collect(plainBytes(source, file, options.maxSizeBytes));
  if (bytes.length === 0) throw new DataError({ file }, "is empty; expected a parquet file");
  const columns = new Map<string, DecodedArray[]>();
  try {
    const metadata = parquetMetadata(bytes.buffer);
    const names = metadata.schema.slice(1).map(({ name, num_children }) => {
      if (num_children) throw new DataError({ file, column: name }, "is nested; flatten it to plain columns");
      return name;
    });
    const rowCount = Number(metadata.num_rows);
    if (rowCount * names.length > MAX_CELLS)
      throw new DataError(
        { file },
        `has more than ${MAX_CELLS.toLocaleString("en")} cells, the most that is read; keep only the columns that you need`,
      );
    for (const name of names) columns.set(name, []);
    // One column of one row group at a time: hyparquet starts those of a call together, and when two of them fail, the
    // second rejection has no handler, which ends a Node process.
    let rowStart = 0;
    for (const { num_rows } of metadata.row_groups) {
      const rowEnd = rowStart + Number(num_rows);
      for (const [name, chunks] of columns)
        await parquetRead({
          file: bytes.buffer,
          metadata,
          compressors,
          columns: [name],
          rowStart,
          rowEnd,
          onChunk: ({ columnData }) => chunks.push(columnData),
        });
      rowStart = rowEnd;
    }
  } catch (error) {
    if (error instanceof DataError) throw error;
    throw new DataError({ file }, `is not a readable parquet file (${(error as Error).message}); write it again`);
  }
  const names = [...columns.keys()];
  const table = new TableBuilder(file, names, "row");
  const cells = [...columns.values()].map(flatten);
  const rowCount = cells[0]?.length ?? 0;
  if (cells.some(({ length }) => length !== rowCount))
    throw new DataError({ file }, "has columns of different lengths; write it again");
  for (let row = 0; row < rowCount; row++)
    table.push(
      cells.map((column, i) =>
        toCell(column[row], { file, line: row + 1, column: [...columns.keys()][i], unit: "row" as const }),
      ),
      row + 1,
    );
  return table.finish();
}

function flatten(chunks: DecodedArray[]): ArrayLike<unknown> {
  return chunks.length === 1
    ? (chunks[0] as DecodedArray)
    : chunks.flatMap((chunk) => Array.from(chunk as ArrayLike<unknown>));
}

function toCell(value: unknown, place: Place): number | string | null {
  if (value === null || value === undefined) return null;
  if (typeof value === "number" || typeof value === "string") return value;
  if (typeof value === "bigint" || typeof value === "boolean") return String(value);
  if (value instanceof Date && !Number.isNaN(value.getTime())) return value.toISOString();
  throw new DataError(
    place,
    "found a nested, binary or impossible value, expected a number, text or date; choose or write plain columns",
  );
}
