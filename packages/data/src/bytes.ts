import { DataError } from "./errors.ts";

/** Bytes to read: all at once, or as they come. */
export type ByteSource = Uint8Array | AsyncIterable<Uint8Array> | ReadableStream<Uint8Array>;

const BINARY = "holds binary data, expected text; give a CSV, JSON lines or parquet file with its usual extension";

/** The most that is read from one source, after decompression. */
export const MAX_SIZE_BYTES = 2 ** 30;

async function* chunksOf(source: ByteSource): AsyncGenerator<Uint8Array> {
  if (source instanceof Uint8Array) yield source;
  // Before the other test: Safari's streams cannot be iterated.
  else if ("getReader" in source) yield* readAll(source.getReader());
  else yield* source;
}

async function* readAll(reader: ReadableStreamDefaultReader<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value;
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/**
 * The source's bytes, gunzipped when they start as gzip does.
 * @throws {DataError} for damaged gzip data and beyond `maxSizeBytes`
 */
export async function* plainBytes(
  source: ByteSource,
  file: string,
  maxSizeBytes = MAX_SIZE_BYTES,
): AsyncGenerator<Uint8Array> {
  let sizeBytes = 0;
  for await (const chunk of gunzipped(chunksOf(source), file)) {
    sizeBytes += chunk.length;
    if (sizeBytes > maxSizeBytes)
      throw new DataError(
        { file },
        `is larger than ${(maxSizeBytes / 2 ** 20).toLocaleString("en")} MiB (after decompression), the most that is read; keep only the columns and rows that you need, or split it`,
      );
    yield chunk;
  }
}

async function* gunzipped(chunks: AsyncGenerator<Uint8Array>, file: string): AsyncGenerator<Uint8Array> {
  let head = new Uint8Array(0);
  while (head.length < 2) {
    const next = await chunks.next();
    if (next.done) break;
    head = concat([head, next.value]);
  }
  const rest = async function* () {
    try {
      yield head;
      yield* chunks;
    } finally {
      await chunks.return(undefined); // a reader that stops at the head must close the file, too
    }
  };
  if (head[0] !== 0x1f || head[1] !== 0x8b) {
    yield* rest();
    return;
  }
  const { readable, writable } = new DecompressionStream("gzip");
  const writer = writable.getWriter();
  let inputError: unknown;
  void (async () => {
    try {
      for await (const chunk of rest()) await writer.write(chunk as Uint8Array<ArrayBuffer>);
      await writer.close();
    } catch (error) {
      inputError = error;
      await writer.abort(error).catch(() => {});
    }
  })();
  try {
    yield* readAll(readable.getReader() as ReadableStreamDefaultReader<Uint8Array>);
  } catch (error) {
    if (inputError instanceof DataError) throw inputError;
    throw new DataError(
      { file },
      `the gzip data is damaged or cut off (${(error as Error).message}); copy or compress the file again`,
    );
  }
}

/** @returns all bytes of a source in one piece */
export async function collect(source: AsyncIterable<Uint8Array>): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return concat(chunks);
}

function concat(chunks: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let offset = 0;
  for (const chunk of chunks) {
    all.set(chunk, offset);
    offset += chunk.length;
  }
  return all;
}

/**
 * The source as text, without byte order mark.
 * @throws {DataError} for binary data, UTF-16 and anything else that is not UTF-8, with the line
 */
export async function* textChunks(bytes: AsyncIterable<Uint8Array>, file: string): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let line = 1;
  let isFirst = true;
  const checked = (chunk?: Uint8Array): string => {
    const problem = (text: string, what: string) => new DataError({ file, line: line + newlines(text) }, what);
    let text: string;
    try {
      text = chunk ? decoder.decode(chunk, { stream: true }) : decoder.decode();
    } catch {
      if (chunk?.includes(0)) throw problem("", BINARY);
      const lenient = new TextDecoder().decode(chunk);
      throw problem(
        lenient.slice(0, lenient.indexOf("\ufffd")),
        "the text is not UTF-8; save the file as UTF-8 (in a spreadsheet: CSV UTF-8)",
      );
    }
    const zero = text.indexOf("\0");
    if (zero >= 0)
      throw problem(
        text.slice(0, zero),
        "holds binary data, expected text; give a CSV, JSON lines or parquet file with its usual extension",
      );
    line += newlines(text);
    return text;
  };
  for await (const chunk of bytes) {
    if (
      isFirst &&
      chunk.length > 1 &&
      ((chunk[0] === 0xff && chunk[1] === 0xfe) || (chunk[0] === 0xfe && chunk[1] === 0xff))
    )
      throw new DataError(
        { file, line: 1 },
        "the text is UTF-16; save the file as UTF-8 (in a spreadsheet: CSV UTF-8)",
      );
    isFirst = false;
    // A whole file in one piece would otherwise become one string of its size.
    for (let from = 0; from < chunk.length; from += 65_536) yield checked(chunk.subarray(from, from + 65_536));
  }
  yield checked();
}

/** Line ends in a text: LF, CR LF or CR. */
export function newlines(text: string): number {
  let count = 0;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) count++;
  if (!text.includes("\r")) return count;
  for (let at = text.indexOf("\r"); at >= 0; at = text.indexOf("\r", at + 1)) if (text[at + 1] !== "\n") count++;
  return count;
}
