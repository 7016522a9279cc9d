import { CheckpointError, ValueError } from "../device/errors.ts";
import { widenBfloat16, widenFloat16 } from "../tensor/halves.ts";
import type { StoredTensor } from "./stored-tensor.ts";

/**
 * Widens a stored tensor to float32. F16 and BF16 are exact (denormals, infinities and NaN payloads included); F64 is rounded
 * to nearest, ties to even. An F32 tensor shares its memory with `stored.data` when that is aligned.
 * @throws {CheckpointError} when the tensor holds no floating-point numbers
 */
export function toFloat32(stored: StoredTensor): Float32Array<ArrayBuffer> {
  switch (stored.dtype) {
    case "F32":
      return elements(stored, Float32Array);
    case "F64":
      return new Float32Array(elements(stored, Float64Array));
    case "BF16":
      return widenBfloat16(elements(stored, Uint16Array));
    case "F16":
      return widenFloat16(elements(stored, Uint16Array));
    default:
      throw new CheckpointError(
        stored.file,
        `${stored.dtype} cannot be read as float32: F32, F16, BF16 or F64 is needed`,
        stored.name,
      );
  }
}

/**
 * Reads stored integers or booleans as int32.
 * @throws {CheckpointError} when the tensor holds no integers
 * @throws {ValueError} when a number lies outside -2^31 to 2^31 - 1, with its index
 */
export function toInt32(stored: StoredTensor): Int32Array<ArrayBuffer> {
  switch (stored.dtype) {
    case "I32":
      return elements(stored, Int32Array);
    case "I16":
      return new Int32Array(elements(stored, Int16Array));
    case "I8":
      return new Int32Array(elements(stored, Int8Array));
    case "U16":
      return new Int32Array(elements(stored, Uint16Array));
    case "U8":
    case "BOOL":
      return new Int32Array(stored.data);
    case "U32":
      return narrowUint32(stored);
    case "I64":
      return narrow64(stored, (high, low) => high === low >> 31);
    case "U64":
      return narrow64(stored, (high, low) => high === 0 && low >= 0);
    default:
      throw new CheckpointError(
        stored.file,
        `${stored.dtype} cannot be read as int32: integers or booleans are needed`,
        stored.name,
      );
  }
}

function narrowUint32(stored: StoredTensor): Int32Array<ArrayBuffer> {
  const values = elements(stored, Int32Array);
  const negative = values.findIndex((value) => value < 0);
  if (negative >= 0) throw outOfRange(stored, negative, String((values[negative] as number) >>> 0));
  return values;
}

function narrow64(stored: StoredTensor, fits: (high: number, low: number) => boolean): Int32Array<ArrayBuffer> {
  const words = elements(stored, Int32Array);
  const values = new Int32Array(words.length / 2);
  for (let i = 0; i < values.length; i++) {
    const low = words[2 * i] as number;
    if (!fits(words[2 * i + 1] as number, low)) {
      const wide = stored.dtype === "I64" ? elements(stored, BigInt64Array) : elements(stored, BigUint64Array);
      throw outOfRange(stored, i, String(wide[i]));
    }
    values[i] = low;
  }
  return values;
}

function outOfRange({ file, name, dtype }: StoredTensor, index: number, value: string): ValueError {
  return new ValueError(
    `${file}: tensor "${name}": element ${index} is ${value} (${dtype}), beyond the range of int32`,
  );
}

type ViewConstructor<T> = {
  new (buffer: ArrayBuffer, byteOffset: number, length: number): T;
  readonly BYTES_PER_ELEMENT: number;
};

/** A typed view of the data; a copy when the data does not start at a multiple of the element's size. */
function elements<T>({ data }: StoredTensor, View: ViewConstructor<T>): T {
  const aligned = data.byteOffset % View.BYTES_PER_ELEMENT === 0 ? data : data.slice();
  return new View(aligned.buffer, aligned.byteOffset, aligned.byteLength / View.BYTES_PER_ELEMENT);
}
