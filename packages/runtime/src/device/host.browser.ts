import { MoebiusError } from "./errors.ts";
import type { Chunks, OpenFile } from "./host.node.ts";

// The part of the browser's origin-private file system (OPFS) that is used here; Node's types do not know it.
interface FileHandle {
  readonly kind: "file";
  readonly name: string;
  getFile(): Promise<Blob>;
  createWritable(options?: { keepExistingData: boolean }): Promise<Writable>;
}
interface Writable {
  write(data: Uint8Array | Blob | { type: "write"; position: number; data: Uint8Array }): Promise<void>;
  close(): Promise<void>;
  abort(): Promise<void>;
}
interface FolderHandle {
  readonly kind: "directory";
  readonly name: string;
  getFileHandle(name: string, options?: { create: boolean }): Promise<FileHandle>;
  getDirectoryHandle(name: string, options?: { create: boolean }): Promise<FolderHandle>;
  removeEntry(name: string, options?: { recursive: boolean }): Promise<void>;
  values(): AsyncIterable<FileHandle | FolderHandle>;
}
declare const navigator: { readonly storage?: { getDirectory?(): Promise<FolderHandle> } } | undefined;

async function root(): Promise<FolderHandle> {
  const storage = typeof navigator === "undefined" ? undefined : navigator.storage;
  if (!storage?.getDirectory)
    throw new MoebiusError(
      "this page has no file system of its own (navigator.storage.getDirectory): serve it by https or from localhost, " +
        "or open the checkpoint from URLs or Files",
    );
  return storage.getDirectory();
}

const parts = (path: string) => path.split("/").filter((part) => part !== "" && part !== ".");

async function folderAt(path: string[], create = false): Promise<FolderHandle> {
  let folder = await root();
  for (const part of path) folder = await folder.getDirectoryHandle(part, { create });
  return folder;
}

async function fileAt(path: string, create = false): Promise<FileHandle> {
  const names = parts(path);
  return (await folderAt(names.slice(0, -1))).getFileHandle(names.at(-1) ?? "", { create });
}

export async function openFile(file: string): Promise<OpenFile> {
  const blob = await (await fileAt(file)).getFile();
  return {
    sizeBytes: blob.size,
    read: async (offset, length) => new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer()),
    close: async () => {},
  };
}

export async function readText(file: string): Promise<string> {
  return (await (await fileAt(file)).getFile()).text();
}

export async function fileSize(file: string): Promise<number> {
  return (await (await fileAt(file)).getFile()).size;
}

export async function pathKind(target: string): Promise<"file" | "folder" | undefined> {
  const isFolder = await folderAt(parts(target)).catch(() => undefined);
  if (isFolder) return "folder";
  return (await fileAt(target).catch(() => undefined)) ? "file" : undefined;
}

export async function listFolder(folder: string): Promise<string[]> {
  const names: string[] = [];
  for await (const entry of (await folderAt(parts(folder))).values()) if (entry.kind === "file") names.push(entry.name);
  return names.sort();
}

export async function makeFolder(folder: string): Promise<void> {
  await folderAt(parts(folder), true);
}

export async function removePath(target: string): Promise<void> {
  const names = parts(target);
  if (!(await pathKind(target))) return;
  await (await folderAt(names.slice(0, -1))).removeEntry(names.at(-1) ?? "", { recursive: true });
}

/** Copies and removes: not every browser can move a folder, and the copy is complete before the original goes. */
export async function renamePath(from: string, to: string): Promise<void> {
  await copy(from, to);
  await removePath(from);
}

async function copy(from: string, to: string): Promise<void> {
  if ((await pathKind(from)) === "file") {
    const writable = await (await fileAt(to, true)).createWritable();
    await writable.write(await (await fileAt(from)).getFile());
    return writable.close();
  }
  await makeFolder(to);
  for await (const entry of (await folderAt(parts(from))).values())
    await copy(`${from}/${entry.name}`, `${to}/${entry.name}`);
}

/** The browser itself writes to a temporary file and swaps it in at close. */
export async function writeAtomically(file: string, chunks: Chunks): Promise<void> {
  const writable = await (await fileAt(file, true)).createWritable();
  try {
    for await (const chunk of chunks) await writable.write(chunk);
  } catch (error) {
    await writable.abort();
    throw error;
  }
  await writable.close();
}

export async function writeFrom(file: string, offset: number, chunks: Chunks): Promise<void> {
  const writable = await (await fileAt(file, true)).createWritable({ keepExistingData: true });
  try {
    let position = offset;
    for await (const chunk of chunks) {
      await writable.write({ type: "write", position, data: chunk });
      position += chunk.byteLength;
    }
  } finally {
    await writable.close();
  }
}

export function cacheFolder(): string {
  return "moebius";
}

export function environment(_name: string): string | undefined {
  return undefined;
}

/** A page is closed, not interrupted. */
export function onInterrupt(_callback: () => void): () => void {
  return () => {};
}
