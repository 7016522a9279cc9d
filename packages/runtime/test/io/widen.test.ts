import { describe, expect, test } from "vitest";
import { type StoredDType, type StoredTensor, toFloat32, toInt32 } from "../../src/io/index.ts";

const stored = (dtype: StoredDType, array: ArrayBufferView<ArrayBuffer>): StoredTensor => ({
  file: "x.safetensors",
  name: "w",
  dtype,
  shape: [array.byteLength],
  data: new Uint8Array(array.buffer, array.byteOffset, array.byteLength),
});
const everyHalf = Uint16Array.from({ length: 65536 }, (_, i) => i);

/** (-1)^sign · 2^(exponent - bias) · 1.mantissa, and what IEEE 754 says about the ends of the exponent's range. */
function halfValue(bits: number, exponentBits: number, mantissaBits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const bias = 2 ** (exponentBits - 1) - 1;
  const exponent = (bits >> mantissaBits) & (2 ** exponentBits - 1);
  const fraction = (bits & (2 ** mantissaBits - 1)) / 2 ** mantissaBits;
  if (exponent === 2 ** exponentBits - 1) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  if (exponent === 0) return sign * fraction * 2 ** (1 - bias);
  return sign * (1 + fraction) * 2 ** (exponent - bias);
}

describe("toFloat32", () => {
  test.each([
    ["F16", 5, 10],
    ["BF16", 8, 7],
  ] as const)("all 65,536 values of %s are exact", (dtype, exponentBits, mantissaBits) => {
    const values = toFloat32(stored(dtype, everyHalf));
    const wrong = everyHalf.filter((bits) => !Object.is(values[bits], halfValue(bits, exponentBits, mantissaBits)));
    expect([...wrong]).toEqual([]);
  });

  test("F64 is rounded to the nearest float32, ties to even", () => {
    const values = toFloat32(
      stored("F64", new Float64Array([1 + 2 ** -24, 1 + 3 * 2 ** -24, 1e300, -0, Number.NaN, 2 ** -149])),
    );
    expect([...values]).toEqual([1, 1 + 2 ** -22, Number.POSITIVE_INFINITY, -0, Number.NaN, 2 ** -149]);
  });

  test("F32 keeps its bits, aligned or not", () => {
    const bytes = new Uint8Array(9);
    new DataView(bytes.buffer).setFloat32(1, 1.5, true);
    new DataView(bytes.buffer).setFloat32(5, -2, true);
    expect([...toFloat32(stored("F32", bytes.subarray(1)))]).toEqual([1.5, -2]);
  });

  test("a tensor of integers is refused by file, name and format", () => {
    expect(() => toFloat32(stored("I64", new BigInt64Array(1)))).toThrow(
      'x.safetensors: tensor "w": I64 cannot be read as float32',
    );
  });
});

describe("toInt32", () => {
  test.each([
    ["I64", new BigInt64Array([-(2n ** 31n), -1n, 0n, 2n ** 31n - 1n]), [-(2 ** 31), -1, 0, 2 ** 31 - 1]],
    ["U64", new BigUint64Array([0n, 2n ** 31n - 1n]), [0, 2 ** 31 - 1]],
    ["I32", new Int32Array([-5, 7]), [-5, 7]],
    ["U32", new Uint32Array([0, 7]), [0, 7]],
    ["I16", new Int16Array([-300, 7]), [-300, 7]],
    ["U16", new Uint16Array([65535]), [65535]],
    ["I8", new Int8Array([-128, 7]), [-128, 7]],
    ["U8", new Uint8Array([255, 7]), [255, 7]],
    ["BOOL", new Uint8Array([1, 0]), [1, 0]],
  ] as const)("%s keeps its values", (dtype, array, expected) => {
    expect([...toInt32(stored(dtype, array))]).toEqual(expected);
  });

  test.each([
    ["I64", new BigInt64Array([0n, 2n ** 31n]), "element 1 is 2147483648"],
    ["I64", new BigInt64Array([-(2n ** 31n) - 1n]), "element 0 is -2147483649"],
    ["I64", new BigInt64Array([2n ** 32n]), "element 0 is 4294967296"],
    ["U64", new BigUint64Array([2n ** 64n - 1n]), "element 0 is 18446744073709551615"],
    ["U32", new Uint32Array([1, 2 ** 31]), "element 1 is 2147483648"],
  ] as const)("a number of %s beyond int32 is named with its index", (dtype, array, message) => {
    expect(() => toInt32(stored(dtype, array))).toThrow(`x.safetensors: tensor "w": ${message}`);
  });

  test("floating-point numbers are refused", () => {
    expect(() => toInt32(stored("F32", new Float32Array(1)))).toThrow("F32 cannot be read as int32");
  });
});
