import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { DataError } from "./errors.ts";

/**
 * Opens a file for reading, or standard input for "-".
 * @throws {DataError} when it is not there, is a folder or cannot be read
 */
export async function openFile(path: string): Promise<AsyncIterable<Uint8Array>> {
  if (path === "-") return process.stdin;
  try {
    if ((await stat(path)).isDirectory())
      throw new DataError({ file: path }, "is a folder; give the path of a file in it");
  } catch (error) {
    if (error instanceof DataError) throw error;
    const absent = (error as NodeJS.ErrnoException).code === "ENOENT";
    throw new DataError(
      { file: path },
      absent ? "there is no such file; check the path" : `cannot be read (${(error as Error).message})`,
    );
  }
  return read(path);
}

async function* read(path: string): AsyncGenerator<Uint8Array> {
  try {
    yield* createReadStream(path);
  } catch (error) {
    throw new DataError({ file: path }, `cannot be read (${(error as Error).message}); check its permissions`);
  }
}

/**
 * Path of the bundled data set: hourly bike rentals, Washington DC, 2011 and 2012 (CC BY 4.0, see datasets/bike-
 * sharing).
 */
export const bikeSharingPath: string = fileURLToPath(new URL("../datasets/bike-sharing/hour.csv.gz", import.meta.url));
