import { writeAtomically } from "#host";
import { CheckpointError } from "../device/errors.ts";
import { shorten } from "./json.ts";
import { bitsPerElement, type StoredDType, storedBytes } from "./stored-tensor.ts";

/** A tensor to be written; `data` may be a function, so that one tensor at a time is in memory. */
export interface WritableTensor {
  readonly name: string;
  readonly dtype: StoredDType;
  readonly shape: readonly number[];
  readonly data: ArrayBufferView<ArrayBuffer> | (() => Promise<ArrayBufferView<ArrayBuffer>>);
}

/**
 * Gives the bytes of a safetensors file, piece by piece. Tensors with wide elements come first and the header is padded to a
 * multiple of 8, so that every tensor is aligned to its element.
 * @param file appears in error messages
 * @throws {CheckpointError} for a name given twice, an impossible shape, or data of another size than dtype and shape say
 */
export async function* safetensorsChunks(
  file: string,
  tensors: readonly WritableTensor[],
  metadata: Readonly<Record<string, string>> = {},
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const inOrder = [...tensors].sort((a, b) => bitsPerElement(b.dtype) - bitsPerElement(a.dtype));
  yield encodeHeader(file, inOrder, metadata);
  for (const { name, dtype, shape, data } of inOrder) {
    const view = typeof data === "function" ? await data() : data;
    const expected = storedBytes(dtype, shape);
    if (view.byteLength !== expected)
      throw new CheckpointError(
        file,
        `shape ${shorten(shape)} of ${dtype} needs ${expected} bytes, its data has ${view.byteLength}`,
        name,
      );
    yield new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  }
}

/**
 * Writes a safetensors file atomically, one tensor in memory at a time.
 * @throws {CheckpointError} as {@link safetensorsChunks}; the file that was there before is then untouched
 */
export async function writeSafetensors(
  path: string,
  tensors: readonly WritableTensor[],
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  await writeAtomically(path, safetensorsChunks(path, tensors, metadata));
}

/** The bytes of a safetensors file in memory. @throws {CheckpointError} as {@link safetensorsChunks} */
export async function encodeSafetensors(
  tensors: readonly WritableTensor[],
  metadata: Readonly<Record<string, string>> = {},
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  for await (const chunk of safetensorsChunks("safetensors", tensors, metadata)) chunks.push(chunk);
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}

function encodeHeader(
  file: string,
  tensors: readonly WritableTensor[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array<ArrayBuffer> {
  // A map until the end: assigning to an object would lose a tensor named "__proto__".
  const entries = new Map<string, unknown>();
  if (Object.keys(metadata).length > 0) entries.set("__metadata__", metadata);
  let offset = 0;
  for (const { name, dtype, shape } of tensors) {
    if (entries.has(name) || name === "__metadata__")
      throw new CheckpointError(file, "this name cannot be used, or was given twice", name);
    const sizeBytes = shape.every((size) => Number.isSafeInteger(size) && size >= 0)
      ? storedBytes(dtype, shape)
      : undefined;
    if (sizeBytes === undefined)
      throw new CheckpointError(file, `shape ${shorten(shape)} of ${dtype} has no size in whole bytes`, name);
    entries.set(name, { dtype, shape, data_offsets: [offset, offset + sizeBytes] });
    offset += sizeBytes;
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const paddedBytes = Math.ceil(json.byteLength / 8) * 8;
  const header = new Uint8Array(8 + paddedBytes).fill(0x20, 8);
  new DataView(header.buffer).setBigUint64(0, BigInt(paddedBytes), true);
  header.set(json, 8);
  return header;
}
