import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CheckpointError } from "../../src/device/errors.ts";
import { encodeSafetensors } from "../../src/io/index.ts";
import { bitsPerElement, STORED_DTYPES } from "../../src/io/stored-tensor.ts";
import { open, rawFile } from "./raw-file.ts";

const entry = (dtype: unknown, shape: unknown, begin: unknown, end: unknown) => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});
const f32 = (begin: number, end: number) => entry("F32", [(end - begin) / 4], begin, end);

describe("a safetensors file", () => {
  const dtype = fc.constantFrom(...STORED_DTYPES.filter((name) => bitsPerElement(name) % 8 === 0));
  const tensor = fc.tuple(dtype, fc.array(fc.nat(4), { maxLength: 3 }), fc.nat(255)).map(([format, shape, fill]) => {
    const sizeBytes = (shape.reduce((a, b) => a * b, 1) * bitsPerElement(format)) / 8;
    return { dtype: format, shape, data: Uint8Array.from({ length: sizeBytes }, (_, i) => (fill + i) & 255) };
  });
  const name = fc.string({ unit: "binary", maxLength: 8 }).filter((text) => text !== "__metadata__");

  test("gives back what was written: names, formats, shapes, bytes, metadata", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.dictionary(name, tensor),
        fc.dictionary(fc.string(), fc.string()),
        async (tensors, metadata) => {
          const written = Object.entries(tensors).map(([key, value]) => ({ name: key, ...value }));
          const file = await open(await encodeSafetensors(written, metadata));
          expect({ ...file.metadata }).toEqual({ ...metadata });
          expect([...file.tensors.keys()].sort()).toEqual(Object.keys(tensors).sort());
          for (const one of written) expect(await file.read(one.name)).toEqual({ file: "x.safetensors", ...one });
        },
      ),
      { seed: 2, numRuns: 100 },
    );
  });

  test("aligns each tensor to its element", async () => {
    const bytes = await encodeSafetensors([
      { name: "flags", dtype: "BOOL", shape: [3], data: new Uint8Array(3) },
      { name: "half", dtype: "F16", shape: [1], data: new Uint16Array(1) },
      { name: "wide", dtype: "F64", shape: [1], data: new Float64Array(1) },
    ]);
    const file = await open(bytes);
    const offsets = ["wide", "half", "flags"].map((key) => file.tensors.get(key)?.offset ?? -1);
    const start = bytes.byteLength - 13;
    expect(start % 8).toBe(0);
    expect(offsets).toEqual([start, start + 8, start + 10]);
  });

  test("may hold scalars, tensors without elements, or nothing", async () => {
    const file = await open(
      rawFile({ scalar: entry("F32", [], 0, 4), none: entry("F32", [3, 0], 4, 4), "": entry("U8", [0], 0, 0) }, 4),
    );
    expect((await file.read("scalar")).shape).toEqual([]);
    expect((await file.read("none")).data.byteLength).toBe(0);
    expect((await file.read("")).data.byteLength).toBe(0);
    expect((await open(rawFile({}))).tensors.size).toBe(0);
  });

  test("may have a tensor called __proto__", async () => {
    const file = await open(
      await encodeSafetensors([{ name: "__proto__", dtype: "U8", shape: [1], data: new Uint8Array([7]) }]),
    );
    expect([...(await file.read("__proto__")).data]).toEqual([7]);
  });

  test("says which tensors it has when asked for another", async () => {
    const file = await open(rawFile({ w: f32(0, 4) }, 4));
    await expect(file.read("v")).rejects.toThrow(
      'x.safetensors: tensor "v": is not in the file, which holds 1 tensors',
    );
  });
});

describe("a damaged or lying file is refused", () => {
  const cases: [string, Uint8Array<ArrayBuffer>, RegExp, string?][] = [
    ["empty", new Uint8Array(0), /cut short: it has 0 bytes/],
    ["shorter than its length field", new Uint8Array(7), /cut short: it has 7 bytes/],
    ["header beyond the file", rawFile({}, 0, 3), /cut short: its header claims 3 bytes, 2 follow/],
    ["header of 2^63 bytes", rawFile({}, 0, 2n ** 63n), /claims 9223372036854775807|claims 9223372036854776000 bytes/],
    ["header over 100 MB", rawFile({}, 0, 100_000_001), /the format allows 100000000/],
    ["no header", rawFile("", 0), /does not start with "\{"/],
    ["another format", rawFile("PK\x03\x04"), /it is no safetensors file/],
    ["a header with a byte order mark", rawFile("\ufeff{}"), /does not start/],
    ["invalid UTF-8", rawFile(new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x7d])), /not valid UTF-8/],
    ["invalid JSON", rawFile('{"a":}'), /not valid JSON/],
    ["an unterminated string", rawFile('{"a'), /not valid JSON/],
    ["deep nesting", rawFile(`{"a":${"[".repeat(100_000)}`), /nested deeper than 64/],
    ["a tensor twice", rawFile('{"w":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"w":1}'), /the key "w" twice/],
    ["a tensor twice in two spellings", rawFile('{"w":1,"\\u0077":1}'), /the key "w" twice/],
    ["an entry with a key twice", rawFile('{"w":{"dtype":"U8","dtype":"I8"}}'), /the key "dtype" twice/],
    [
      "metadata that is no object",
      rawFile({ __metadata__: ["pt"] }),
      /__metadata__ must be an object of strings, got an array of 1/,
    ],
    ["metadata with a number", rawFile({ __metadata__: { step: 3 } }), /__metadata__ "step" must be a string, got 3/],
    ["an entry that is no object", rawFile({ w: null }), /its entry must be an object, got null/, "w"],
    ["a missing dtype", rawFile({ w: { shape: [1] } }), /dtype undefined is not one of F64/, "w"],
    ["an unknown dtype", rawFile({ w: entry("F33", [1], 0, 4) }, 4), /dtype "F33"/, "w"],
    ["a dtype from the prototype", rawFile({ w: entry("constructor", [1], 0, 4) }, 4), /dtype "constructor"/, "w"],
    ["a shape that is no array", rawFile({ w: entry("F32", "1", 0, 4) }, 4), /shape must be .* got "1"/, "w"],
    ["a negative size", rawFile({ w: entry("F32", [-1], 0, 4) }, 4), /got \[-1\]/, "w"],
    ["a fractional size", rawFile({ w: entry("F32", [0.5, 2], 0, 4) }, 4), /got \[0.5, 2\]/, "w"],
    ["a size beyond 2^53", rawFile({ w: entry("F32", [2 ** 53], 0, 4) }, 4), /got \[9007199254740992\]/, "w"],
    [
      "a product that overflows",
      rawFile({ w: entry("F32", [2 ** 40, 2 ** 40, 2 ** 40], 0, 4) }, 4),
      /no size in whole bytes below 2\^53/,
      "w",
    ],
    [
      "a product that overflows before a zero",
      rawFile({ w: entry("U8", [2 ** 52, 2 ** 52, 0], 0, 0) }),
      /no size in whole bytes/,
      "w",
    ],
    ["half a byte", rawFile({ w: entry("F4", [3], 0, 1) }, 1), /no size in whole bytes/, "w"],
    [
      "one offset",
      rawFile({ w: { dtype: "U8", shape: [0], data_offsets: [0] } }),
      /two whole numbers from 0, got \[0\]/,
      "w",
    ],
    ["offsets in the wrong order", rawFile({ w: entry("U8", [4], 4, 0) }, 4), /the end lies before the start/, "w"],
    ["offsets beyond the file", rawFile({ w: f32(0, 8) }, 4), /reach beyond the 4 data bytes/, "w"],
    [
      "a size that does not fit the shape",
      rawFile({ w: entry("F32", [3], 0, 8) }, 8),
      /needs 12 bytes, data_offsets give 8/,
      "w",
    ],
    [
      "overlapping tensors",
      rawFile({ a: f32(0, 8), b: f32(4, 12) }, 12),
      /overlaps the tensor before it by 4 bytes/,
      "b",
    ],
    ["the same bytes twice", rawFile({ a: f32(0, 8), b: f32(0, 8) }, 8), /overlaps/, "b"],
    ["an empty tensor inside another", rawFile({ a: f32(0, 8), b: f32(4, 4) }, 8), /overlaps/, "b"],
    ["a hole", rawFile({ a: f32(0, 4), b: f32(8, 12) }, 12), /4 bytes before its data belong to no tensor/, "b"],
    ["trailing bytes", rawFile({ a: f32(0, 4) }, 5), /its last 1 bytes belong to no tensor/],
  ];
  test.each(cases)("%s", async (_, bytes, message, tensor) => {
    const error: unknown = await open(bytes).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error).toMatchObject({ file: "x.safetensors", tensor, message: expect.stringMatching(message) });
    expect((error as Error).message.length).toBeLessThan(400);
  });

  test("a message stays short however long the name and the shape are", async () => {
    const header = { ["n".repeat(1_000_000)]: entry("F32", new Array(100_000).fill(1.5), 0, 4) };
    await expect(open(rawFile(header, 4))).rejects.toThrow(
      /^x\.safetensors: tensor "n{200}\.\.\.": shape must .* got an array of 100000$/,
    );
  });
});

describe("writing is refused", () => {
  const one = { name: "w", dtype: "F32", shape: [2], data: new Float32Array(2) } as const;
  test.each([
    ["a name twice", [one, one], /"w": this name cannot be used, or was given twice/],
    ["the metadata's name", [{ ...one, name: "__metadata__" }], /cannot be used/],
    [
      "data of another size",
      [{ ...one, data: new Float32Array(3) }],
      /shape \[2\] of F32 needs 8 bytes, its data has 12/,
    ],
    ["an impossible shape", [{ ...one, shape: [-2] }], /shape \[-2\] of F32 has no size/],
  ])("for %s", async (_, tensors, message) => {
    await expect(encodeSafetensors(tensors)).rejects.toThrow(message);
  });
});
