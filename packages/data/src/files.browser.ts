import type { ByteSource } from "./bytes.ts";
import { DataError } from "./errors.ts";

/**
 * Fetches an address; a page cannot open paths.
 * @throws {DataError} when it cannot be fetched
 */
export async function openFile(url: string): Promise<ByteSource> {
  if (url === "-")
    throw new DataError({ file: "standard input" }, "does not exist in a page; pass a file's stream instead");
  const response = await fetch(url).catch((error: Error) => {
    throw new DataError(
      { file: url },
      `cannot be fetched (${error.message}); check the address, or pass a file's stream`,
    );
  });
  if (!response.ok || !response.body)
    throw new DataError({ file: url }, `the server answered ${response.status}; check the address`);
  return response.body as ReadableStream<Uint8Array>;
}

/** Address of the bundled data set, beside the built package. */
export const bikeSharingPath: string = new URL("../datasets/bike-sharing/hour.csv.gz", import.meta.url).href;
