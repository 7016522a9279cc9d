import { randomUUID } from "node:crypto";
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import os from "node:os";
import path from "node:path";

/** A file held open: what is read belongs to the file that was opened, also when another takes its name meanwhile. */
export interface OpenFile {
  readonly sizeBytes: number;
  /** @returns exactly `length` bytes, fewer when the file has become shorter */
  read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
  close(): Promise<void>;
}

export type Chunks = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/** One read call of the system answers with less than 2 GiB. */
const MAX_READ_BYTES = 2 ** 30;

export async function openFile(file: string): Promise<OpenFile> {
  const handle = await open(file, "r");
  try {
    const status = await handle.stat();
    if (!status.isFile()) throw new Error("it is not a file");
    return {
      sizeBytes: status.size,
      read: (offset, length) => readAt(handle, offset, length),
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function readAt(handle: FileHandle, offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await handle.read(bytes, filled, Math.min(length - filled, MAX_READ_BYTES), offset + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return bytes.subarray(0, filled);
}

export function readText(file: string): Promise<string> {
  return readFile(file, "utf8");
}

export async function fileSize(file: string): Promise<number> {
  return (await stat(file)).size;
}

export async function pathKind(target: string): Promise<"file" | "folder" | undefined> {
  const status = await stat(target).catch(() => undefined);
  return status?.isDirectory() ? "folder" : status?.isFile() ? "file" : undefined;
}

/** @returns the names of the files in `folder`, sorted */
export async function listFolder(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => entry.name)
    .sort();
}

export async function makeFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
}

/** Removes a file, or a folder with all that is in it; one that is not there is no error. */
export async function removePath(target: string): Promise<void> {
  await rm(target, { recursive: true, force: true });
}

/** Gives a file or folder another name in the same folder, durably. An existing file is replaced, a folder is not. */
export async function renamePath(from: string, to: string): Promise<void> {
  await rename(from, to);
  await syncFolder(path.dirname(to));
}

/** Writes a file under a temporary name and renames it: `file` holds the old bytes or all the new ones, never a part. */
export async function writeAtomically(file: string, chunks: Chunks): Promise<void> {
  const temporary = `${file}.${randomUUID()}.tmp`;
  try {
    const handle = await open(temporary, "wx");
    try {
      for await (const chunk of chunks) await writeAll(handle, chunk);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await renamePath(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Writes `chunks` into `file` from byte `offset` on; when they end in an error, what came before it stays in the file. */
export async function writeFrom(file: string, offset: number, chunks: Chunks): Promise<void> {
  const handle = await open(file, "r+").catch(() => open(file, "w+"));
  try {
    let position = offset;
    for await (const chunk of chunks) {
      await writeAll(handle, chunk, position);
      position += chunk.byteLength;
    }
  } finally {
    await handle.sync();
    await handle.close();
  }
}

async function writeAll(handle: FileHandle, chunk: Uint8Array, position?: number): Promise<void> {
  let written = 0;
  while (written < chunk.byteLength) {
    const at = position === undefined ? null : position + written;
    written += (await handle.write(chunk, written, Math.min(chunk.byteLength - written, MAX_READ_BYTES), at))
      .bytesWritten;
  }
}

/** A rename survives a power cut once its folder is on the disk; Windows has no such call and does it by itself. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Where downloads are kept: $XDG_CACHE_HOME/moebius, else ~/.cache/moebius. */
export function cacheFolder(): string {
  return path.join(process.env.XDG_CACHE_HOME || path.join(os.homedir(), ".cache"), "moebius");
}

export function environment(name: string): string | undefined {
  return process.env[name] || undefined;
}

/** Calls `callback` at each interrupt (Ctrl-C) in place of ending the process; the result undoes this. */
export function onInterrupt(callback: () => void): () => void {
  process.on("SIGINT", callback);
  return () => {
    process.off("SIGINT", callback);
  };
}
