import { randomUUID } from "node:crypto";
import { access, constants, open, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, extname, join } from "node:path";
import { UserError } from "./user-error.ts";

const reasons: Record<string, string> = {
  ENOENT: "its folder does not exist",
  ENOTDIR: "a part of its path is not a folder",
  EISDIR: "it is a folder",
  EACCES: "permission denied",
  EPERM: "permission denied",
  EROFS: "the file system is read-only",
  ENOSPC: "the disk is full",
};

/**
 * Refuses an output file before the work whose result it is to hold.
 * @param extensions the kinds that can be written, such as ["csv", "json"]
 * @throws {UserError} for a name of another kind, and for a place that cannot be written as far as can be told without writing
 */
export async function checkOutputFile(option: string, file: string, extensions: readonly string[]): Promise<void> {
  if (!extensions.includes(extname(file).slice(1).toLowerCase()))
    throw new UserError(`${option}: "${file}" must end in ${extensions.map((one) => `.${one}`).join(" or ")}`);
  const target = await stat(file).catch(() => undefined);
  if (target?.isDirectory()) throw new UserError(`${option}: cannot write ${file}: it is a folder`);
  try {
    const folder = dirname(file);
    if (!(await stat(folder)).isDirectory()) throw Object.assign(new Error(), { code: "ENOTDIR" });
    await access(folder, constants.W_OK);
  } catch (error) {
    const reason = reasons[(error as NodeJS.ErrnoException).code ?? ""] ?? (error as Error).message;
    throw new UserError(`${option}: cannot write ${file}: ${reason}`, { cause: error });
  }
}

/**
 * Writes a file wholly or not at all: into a temporary file beside it, flushed to the disk, then renamed over it.
 * A device or pipe (/dev/stdout, /dev/null) is written directly, since a rename would replace it.
 * @throws {UserError} when the place cannot be written; an older file of that name is left as it was
 */
export async function writeAtomically(file: string, content: string | Uint8Array): Promise<void> {
  try {
    const target = await stat(file).catch(() => undefined);
    if (target !== undefined && !target.isFile() && !target.isDirectory()) return await writeFile(file, content);
    if (target?.isDirectory()) throw Object.assign(new Error(), { code: "EISDIR" });
    await writeAndRename(file, content);
  } catch (error) {
    const reason = reasons[(error as NodeJS.ErrnoException).code ?? ""];
    if (reason === undefined) throw error;
    throw new UserError(`cannot write ${file}: ${reason}`, { cause: error });
  }
}

async function writeAndRename(file: string, content: string | Uint8Array): Promise<void> {
  const temporary = join(dirname(file), `.${basename(file)}.${randomUUID()}.tmp`);
  try {
    const handle = await open(temporary, "wx");
    try {
      await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

export type CsvCell = string | number | boolean | Date | null;

/** CSV text (RFC 4180, lines end with \n): dates in ISO 8601, null and numbers that are not finite as empty cells. */
export function toCsv(columns: readonly string[], rows: Iterable<readonly CsvCell[]>): string {
  const lines = [columns.map(csvCell).join(",")];
  for (const row of rows) lines.push(row.map(csvCell).join(","));
  return `${lines.join("\n")}\n`;
}

function csvCell(cell: CsvCell): string {
  if (cell === null) return "";
  if (typeof cell === "number") return Number.isFinite(cell) ? String(cell) : "";
  const text = cell instanceof Date ? cell.toISOString() : String(cell);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Prints a result for programs on stdout: typed arrays as arrays, numbers that are not finite as null. */
export function printJson(value: unknown): void {
  const plain = (_key: string, item: unknown) =>
    ArrayBuffer.isView(item) && !(item instanceof DataView) ? Array.from(item as Float32Array) : item;
  process.stdout.write(`${JSON.stringify(value, plain, 2)}\n`);
}
