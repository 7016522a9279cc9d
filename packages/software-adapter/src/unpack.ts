import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { DRIVER_FILES, readDriverFiles } from "./archive.ts";

/**
 * Puts the driver's files into `folder`, unless they are there.
 * @throws a file system error when `folder` cannot be made; {SoftwareAdapterError} for a damaged archive
 */
export function unpackDriver(archive: string, folder: string): void {
  unpackOnce(folder, DRIVER_FILES, () => readDriverFiles(archive));
}

/**
 * Fills `folder` with executable files, unless all of `required` are there. Several processes may do so at once: each fills a
 * folder of its own and renames it, so whoever sees `folder` sees all of it.
 * @param read answers with the path of each file within `folder` and its content
 * @throws a file system error when `folder` cannot be made; what `read` throws
 */
export function unpackOnce(
  folder: string,
  required: readonly string[],
  read: () => Iterable<readonly [file: string, data: Uint8Array]>,
): void {
  const isComplete = () => required.every((file) => existsSync(path.join(folder, file)));
  if (isComplete()) return;
  mkdirSync(path.dirname(folder), { recursive: true, mode: 0o700 });
  const own = mkdtempSync(`${folder}-`);
  try {
    for (const [file, data] of read()) {
      mkdirSync(path.dirname(path.join(own, file)), { recursive: true });
      writeFileSync(path.join(own, file), data, { mode: 0o755, flush: true });
    }
    moveInto(own, folder, isComplete);
  } finally {
    rmSync(own, { recursive: true, force: true });
  }
}

function moveInto(own: string, folder: string, isComplete: () => boolean): void {
  try {
    renameSync(own, folder);
  } catch (error) {
    if (isComplete()) return; // another process was first
    // A folder that lost some of its files, to a cleaner of caches for example, stands in the way.
    if (!existsSync(folder)) throw error;
    rmSync(folder, { recursive: true, force: true });
    try {
      renameSync(own, folder);
    } catch (secondError) {
      if (!isComplete()) throw secondError;
    }
  }
}
