/** Bits an element takes, by the names that safetensors gives to its formats. */
const BITS = {
  F64: 64,
  F32: 32,
  F16: 16,
  BF16: 16,
  F8_E4M3: 8,
  F8_E5M2: 8,
  F8_E8M0: 8,
  F6_E3M2: 6,
  F6_E2M3: 6,
  F4: 4,
  C64: 64,
  I64: 64,
  I32: 32,
  I16: 16,
  I8: 8,
  U64: 64,
  U32: 32,
  U16: 16,
  U8: 8,
  BOOL: 8,
} as const;

/** Element format of a tensor in a file, by its safetensors name. */
export type StoredDType = keyof typeof BITS;

/** A tensor as a file holds it: elements in row-major order, little-endian. */
export interface TensorData {
  readonly name: string;
  readonly dtype: StoredDType;
  readonly shape: readonly number[];
  readonly data: Uint8Array<ArrayBuffer>;
}

/** A tensor read from a file; `file` is there for messages. */
export interface StoredTensor extends TensorData {
  readonly file: string;
}

export function isStoredDType(value: unknown): value is StoredDType {
  return typeof value === "string" && Object.hasOwn(BITS, value);
}

export const STORED_DTYPES = Object.keys(BITS) as StoredDType[];

export function bitsPerElement(dtype: StoredDType): number {
  return BITS[dtype];
}

/** @returns bytes of a tensor of this format and shape; undefined when that is no whole number of bytes below 2^53 */
export function storedBytes(dtype: StoredDType, shape: readonly number[]): number | undefined {
  let elements = 1;
  for (const size of shape) {
    elements *= size;
    if (elements > Number.MAX_SAFE_INTEGER) return undefined;
  }
  const bits = elements * BITS[dtype];
  return Number.isSafeInteger(bits) && bits % 8 === 0 ? bits / 8 : undefined;
}
