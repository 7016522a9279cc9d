import { openFile } from "#host";
import { CheckpointError } from "../device/errors.ts";

/** Bytes at known offsets: a file, a URL, memory. `name` appears in every message about them. */
export interface ByteSource {
  readonly name: string;
  readonly sizeBytes: number;
  /**
   * Reads exactly `length` bytes from `offset` on.
   * @throws {CheckpointError} when the range is not inside the source or cannot be read
   */
  read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
  close(): Promise<void>;
}

/**
 * Opens a file for reading by ranges (in a browser: a file of the page's origin-private file system).
 * @throws {CheckpointError} when the file cannot be opened
 */
export async function fileSource(path: string): Promise<ByteSource> {
  const file = await openFile(path).catch((error: unknown) => {
    throw new CheckpointError(path, `cannot be opened: ${reason(error)}`);
  });
  return source(
    path,
    file.sizeBytes,
    (offset, length) => file.read(offset, length),
    () => file.close(),
  );
}

/** Bytes in memory, not copied: what `read` gives shares them. */
export function bytesSource(name: string, bytes: Uint8Array<ArrayBuffer>): ByteSource {
  return source(name, bytes.byteLength, async (offset, length) => bytes.subarray(offset, offset + length));
}

/** A Blob or a File that the user picked. */
export function blobSource(name: string, blob: Blob): ByteSource {
  return source(
    name,
    blob.size,
    async (offset, length) => new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer()),
  );
}

/**
 * A file behind a URL, read by HTTP range requests; a server that ignores ranges sends the whole file once.
 * @param options.headers sent with each request (authorization)
 * @throws {CheckpointError} when the server does not answer or refuses
 */
export async function urlSource(
  url: string,
  options: { headers?: Record<string, string>; signal?: AbortSignal } = {},
): Promise<ByteSource> {
  const request = async (first: number, last: number) => {
    const response = await fetch(url, {
      ...options,
      headers: { ...options.headers, range: `bytes=${first}-${last}` },
    }).catch((error: unknown) => {
      throw new CheckpointError(url, `no answer: ${reason(error)}`);
    });
    if (response.ok || response.status === 416) return response;
    await response.body?.cancel();
    throw new CheckpointError(url, `the server answered ${response.status} ${response.statusText}`);
  };
  const probe = await request(0, 0);
  if (probe.status === 200) return blobSource(url, await probe.blob());
  await probe.body?.cancel();
  // "bytes 0-0/1234", and "bytes */0" for an empty file.
  const sizeBytes = Number(probe.headers.get("content-range")?.split("/")[1] ?? Number.NaN);
  if (!Number.isSafeInteger(sizeBytes))
    throw new CheckpointError(url, "the server does not say how large the file is (content-range)");
  const version = probe.headers.get("etag");
  return source(url, sizeBytes, async (offset, length) => {
    const response = await request(offset, offset + length - 1);
    if (response.status !== 206)
      throw new CheckpointError(url, `the server answered ${response.status} to a range request`);
    if (response.headers.get("etag") !== version)
      throw new CheckpointError(url, "the file changed on the server while it was read: open it again");
    return new Uint8Array(await response.arrayBuffer());
  });
}

function source(
  name: string,
  sizeBytes: number,
  readRange: (offset: number, length: number) => Promise<Uint8Array<ArrayBuffer>>,
  close: () => Promise<void> = async () => {},
): ByteSource {
  const read = async (offset: number, length: number) => {
    if (
      !Number.isSafeInteger(offset) ||
      !Number.isSafeInteger(length) ||
      offset < 0 ||
      length < 0 ||
      offset + length > sizeBytes
    )
      throw new CheckpointError(
        name,
        `bytes ${offset} to ${offset + length} were asked for, but it holds ${sizeBytes} bytes`,
      );
    if (length === 0) return new Uint8Array(0);
    const bytes = await readRange(offset, length).catch((error: unknown) => {
      if (error instanceof CheckpointError) throw error;
      throw new CheckpointError(name, `${length} bytes at ${offset} cannot be read: ${reason(error)}`);
    });
    if (bytes.byteLength !== length)
      throw new CheckpointError(
        name,
        `${length} bytes were asked for at ${offset}, ${bytes.byteLength} came: it changed while it was read`,
      );
    return bytes;
  };
  return { name, sizeBytes, read, close };
}

/** What an exception of the system says, with the cause that fetch hides. */
export function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if ((error as { code?: unknown }).code === "ENOENT") return "it does not exist";
  return error.cause instanceof Error ? `${error.message} (${error.cause.message || error.cause.name})` : error.message;
}
