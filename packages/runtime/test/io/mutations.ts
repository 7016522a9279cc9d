import { CheckpointError, ValueError } from "../../src/device/errors.ts";
import { encodeSafetensors, toFloat32, toInt32 } from "../../src/io/index.ts";
import { open } from "./raw-file.ts";

/** Mulberry32: a small generator, so that a failing file can be made again from its number. */
export function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

type Bytes = Uint8Array<ArrayBuffer>;
type Pick = (below: number) => number;

const NUMBERS = [
  "-1",
  "0",
  "1",
  "0.5",
  "1e3",
  "1e308",
  "1e999",
  "4294967296",
  "9007199254740993",
  "18446744073709551615",
  "null",
  '"4"',
  "[]",
  "{}",
  "true",
];
const WORDS = [
  '"dtype"',
  '"shape"',
  '"data_offsets"',
  '"__metadata__"',
  '"F32"',
  '"BF16"',
  '"I64"',
  '"F4"',
  '"a"',
  '"__proto__"',
];

function withHeader(file: Bytes, edit: (json: string) => string, keepLength = false): Bytes {
  const headerBytes = Number(new DataView(file.buffer).getBigUint64(0, true));
  const json = new TextEncoder().encode(edit(new TextDecoder().decode(file.subarray(8, 8 + headerBytes))));
  const data = file.subarray(8 + headerBytes);
  const mutated = new Uint8Array(8 + json.byteLength + data.byteLength);
  new DataView(mutated.buffer).setBigUint64(0, BigInt(keepLength ? headerBytes : json.byteLength), true);
  mutated.set(json, 8);
  mutated.set(data, 8 + json.byteLength);
  return mutated;
}

function replaceOne(json: string, pattern: RegExp, pick: Pick, choices: readonly string[]): string {
  const found = [...json.matchAll(pattern)];
  const match = found[pick(found.length)];
  if (!match) return json;
  return json.slice(0, match.index) + (choices[pick(choices.length)] ?? "") + json.slice(match.index + match[0].length);
}

const MUTATIONS: ((file: Bytes, pick: Pick) => Bytes)[] = [
  (file, pick) => file.slice(0, pick(file.byteLength + 1)),
  (file, pick) => new Uint8Array([...file, ...new Uint8Array(1 + pick(20))]),
  (file, pick) => {
    const position = at(file, pick);
    return file.map((byte, i) => (i === position ? pick(256) : byte));
  },
  (file, pick) => {
    const position = at(file, pick);
    return file.map((byte, i) => (i === position ? byte ^ (1 << pick(8)) : byte));
  },
  (file, pick) => {
    const length = file.slice();
    const claims = [
      0n,
      1n,
      2n,
      7n,
      BigInt(file.byteLength),
      100_000_000n,
      2n ** 31n,
      2n ** 32n,
      2n ** 53n,
      2n ** 64n - 1n,
    ];
    new DataView(length.buffer).setBigUint64(0, claims[pick(claims.length)] ?? 0n, true);
    return length;
  },
  (file, pick) => withHeader(file, (json) => replaceOne(json, /-?\d+/g, pick, NUMBERS)),
  (file, pick) => withHeader(file, (json) => replaceOne(json, /"[^"]*"/g, pick, WORDS)),
  (file, pick) =>
    withHeader(file, (json) => replaceOne(json, /[{}[\],:]/g, pick, ["", ",", "{", "}", "[", "]", ":", '"'])),
  (file, pick) => withHeader(file, (json) => replaceOne(json, /\d+/g, pick, ["0", "4", "8", "12", "16", "64"])),
  (file, pick) =>
    withHeader(
      file,
      (json) => {
        const [from, to] = [pick(json.length), pick(json.length)];
        return json.slice(0, from) + json.slice(Math.min(from, to), Math.max(from, to)) + json.slice(from);
      },
      pick(2) === 0,
    ),
];

/** The header, where damage matters most, three times out of four. */
function at(file: Bytes, pick: Pick): number {
  const headerBytes = Number(new DataView(file.buffer).getBigUint64(0, true));
  return pick(pick(4) > 0 ? Math.min(8 + headerBytes, file.byteLength) : file.byteLength);
}

export function validFile(): Promise<Bytes> {
  return encodeSafetensors(
    [
      { name: "a", dtype: "F32", shape: [2, 3], data: new Float32Array([1, 2, 3, 4, 5, 6]) },
      { name: "b.weight", dtype: "BF16", shape: [4], data: new Uint16Array([0x3f80, 0, 0x7fc0, 1]) },
      { name: "ids", dtype: "I64", shape: [2], data: new BigInt64Array([3n, -1n]) },
      { name: "half", dtype: "F16", shape: [1, 1], data: new Uint16Array([0x3c00]) },
      { name: "none", dtype: "U8", shape: [0, 9], data: new Uint8Array(0) },
      { name: "scalar", dtype: "BOOL", shape: [], data: new Uint8Array([1]) },
    ],
    { format: "pt", note: 'é "quoted"' },
  );
}

/** Reads everything in the file. @returns "read" or "refused"; any other exception passes */
export async function outcome(bytes: Bytes): Promise<"read" | "refused"> {
  try {
    const file = await open(bytes);
    for (const name of file.tensors.keys()) {
      const stored = await file.read(name);
      if (/^B?F(16|32|64)$/.test(stored.dtype)) toFloat32(stored);
      else toInt32(stored);
    }
    return "read";
  } catch (error) {
    if (error instanceof CheckpointError || error instanceof ValueError) return "refused";
    throw error;
  }
}

/** Damages a valid file in `count` ways, one or two injuries each. */
export async function tryMutations(firstSeed: number, count: number): Promise<{ read: number; refused: number }> {
  const file = await validFile();
  const tally = { read: 0, refused: 0 };
  for (let seed = firstSeed; seed < firstSeed + count; seed++) {
    const pick = random(seed);
    const injuries = 1 + pick(2);
    let mutated = file;
    for (let i = 0; i < injuries; i++)
      if (mutated.byteLength >= 8) mutated = (MUTATIONS[pick(MUTATIONS.length)] ?? (() => mutated))(mutated, pick);
    try {
      tally[await outcome(mutated)]++;
    } catch (error) {
      throw new Error(`the file of seed ${seed} ended in another error than CheckpointError`, { cause: error });
    }
  }
  return tally;
}
