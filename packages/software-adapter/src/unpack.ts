import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { DRIVER_FILES, readDriverFiles } from "./archive.ts";

const isComplete = (folder: string) => DRIVER_FILES.every((name) => existsSync(path.join(folder, name)));

/**
 * Puts the driver's files into `folder`, unless they are there. Several processes may do so at once: each fills a folder of
 * its own and renames it, so whoever sees `folder` sees all of it.
 * @throws a file system error when `folder` cannot be made; {SoftwareAdapterError} for a damaged archive
 */
export function unpackDriver(archive: string, folder: string): void {
  if (isComplete(folder)) return;
  mkdirSync(path.dirname(folder), { recursive: true, mode: 0o700 });
  const own = mkdtempSync(`${folder}-`);
  try {
    for (const [name, data] of readDriverFiles(archive))
      writeFileSync(path.join(own, name), data, { mode: 0o755, flush: true });
    moveInto(own, folder);
  } finally {
    rmSync(own, { recursive: true, force: true });
  }
}

function moveInto(own: string, folder: string): void {
  try {
    renameSync(own, folder);
  } catch (error) {
    if (isComplete(folder)) return; // another process was first
    // A folder that lost some of its files, to a cleaner of caches for example, stands in the way.
    if (!existsSync(folder)) throw error;
    rmSync(folder, { recursive: true, force: true });
    try {
      renameSync(own, folder);
    } catch (secondError) {
      if (!isComplete(folder)) throw secondError;
    }
  }
}
