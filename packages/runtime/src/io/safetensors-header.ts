import { CheckpointError } from "../device/errors.ts";
import { isObject, parseJson, shorten } from "./json.ts";
import { isStoredDType, STORED_DTYPES, type StoredDType, storedBytes } from "./stored-tensor.ts";

/** Where a tensor lies: `offset` counts from the start of the file. */
export interface TensorEntry {
  readonly dtype: StoredDType;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly sizeBytes: number;
}

export interface SafetensorsHeader {
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
}

/**
 * Reads the JSON of a safetensors header and checks it against the data that follows it.
 * @param json the header's bytes, without the eight of its length
 * @param dataStart offset of the first data byte in the file
 * @param dataBytes bytes of data after the header
 * @throws {CheckpointError} when an entry is malformed, or the tensors do not cover the data exactly once
 * @see the format: https://github.com/huggingface/safetensors#format
 */
export function parseHeader(file: string, json: Uint8Array, dataStart: number, dataBytes: number): SafetensorsHeader {
  if (json[0] !== 0x7b)
    throw new CheckpointError(file, 'its header does not start with "{": it is no safetensors file');
  const header = parseJson(file, json);
  if (!isObject(header)) throw new CheckpointError(file, "its header is no JSON object");
  const tensors = new Map<string, TensorEntry>();
  let metadata = {};
  for (const [name, value] of Object.entries(header)) {
    if (name === "__metadata__") metadata = parseMetadata(file, value);
    else tensors.set(name, parseEntry(file, name, value, dataStart, dataBytes));
  }
  checkCoverage(file, tensors, dataStart, dataBytes);
  return { metadata, tensors };
}

function parseMetadata(file: string, value: unknown): Record<string, string> {
  if (!isObject(value))
    throw new CheckpointError(file, `__metadata__ must be an object of strings, got ${shorten(value)}`);
  for (const [key, text] of Object.entries(value))
    if (typeof text !== "string")
      throw new CheckpointError(file, `__metadata__ ${shorten(key)} must be a string, got ${shorten(text)}`);
  return value as Record<string, string>;
}

function parseEntry(file: string, name: string, value: unknown, dataStart: number, dataBytes: number): TensorEntry {
  const label = name.length > 200 ? `${name.slice(0, 200)}...` : name;
  const fail = (message: string): never => {
    throw new CheckpointError(file, message, label);
  };
  if (!isObject(value)) return fail(`its entry must be an object, got ${shorten(value)}`);
  const { dtype, shape, data_offsets: offsets } = value;
  if (!isStoredDType(dtype)) return fail(`dtype ${shorten(dtype)} is not one of ${STORED_DTYPES.join(", ")}`);
  if (!isSizes(shape)) return fail(`shape must be an array of whole numbers from 0, got ${shorten(shape)}`);
  if (!isSizes(offsets) || offsets.length !== 2)
    return fail(`data_offsets must be two whole numbers from 0, got ${shorten(offsets)}`);
  const [begin = 0, end = 0] = offsets;
  if (begin > end) return fail(`data_offsets ${shorten(offsets)}: the end lies before the start`);
  if (end > dataBytes)
    return fail(
      `data_offsets ${shorten(offsets)} reach beyond the ${dataBytes} data bytes of the file: it is cut short or damaged`,
    );
  const sizeBytes = storedBytes(dtype, shape);
  if (sizeBytes === undefined) return fail(`shape ${shorten(shape)} of ${dtype} has no size in whole bytes below 2^53`);
  if (sizeBytes !== end - begin)
    return fail(`shape ${shorten(shape)} of ${dtype} needs ${sizeBytes} bytes, data_offsets give ${end - begin}`);
  return { dtype, shape, offset: dataStart + begin, sizeBytes };
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

/** The data must be covered once: overlaps and holes are how a file hides bytes from some readers. */
function checkCoverage(
  file: string,
  tensors: ReadonlyMap<string, TensorEntry>,
  dataStart: number,
  dataBytes: number,
): void {
  const inOrder = [...tensors].sort(([, a], [, b]) => a.offset - b.offset || a.sizeBytes - b.sizeBytes);
  let expected = dataStart;
  for (const [name, { offset, sizeBytes }] of inOrder) {
    const gap = offset - expected;
    if (gap < 0) throw new CheckpointError(file, `its data overlaps the tensor before it by ${-gap} bytes`, name);
    if (gap > 0) throw new CheckpointError(file, `${gap} bytes before its data belong to no tensor`, name);
    expected = offset + sizeBytes;
  }
  const trailing = dataStart + dataBytes - expected;
  if (trailing > 0) throw new CheckpointError(file, `its last ${trailing} bytes belong to no tensor`);
}
