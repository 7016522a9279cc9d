import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { gunzipSync } from "node:zlib";
import { UserError } from "@moebius/cli";
import type { RandomKey } from "@moebius/runtime/tensor";

/** A text as ids of its characters, the first nine tenths for training (nanoGPT's protocol of Tiny Shakespeare). */
export interface CharacterText {
  vocabSize: number;
  train: Uint32Array;
  validation: Uint32Array;
  /** The validation part of each topic. */
  topics: readonly Uint32Array[];
}

export async function readCharacterText(file: string): Promise<CharacterText> {
  return asCharacters([await readGzip(file)]);
}

/** Several texts behind one alphabet, cut to one length: all together, and the validation part of each. */
export async function readTopics(file: string, sources: string): Promise<CharacterText> {
  const code: string[] = [];
  const files = await readdir(sources, { recursive: true });
  for (const name of files.filter((name) => /\/src\/.*\.ts$/.test(name) && !name.includes("node_modules")).sort())
    code.push(await readFile(path.join(sources, name), "utf8"));
  const texts = [await readGzip(file), code.join("\n")];
  const length = Math.min(...texts.map((text) => text.length));
  return asCharacters(texts.map((text) => text.slice(0, length)));
}

async function readGzip(file: string): Promise<string> {
  const bytes = await readFile(file).catch(() => {
    throw new UserError(`${file}: cannot be read; give the folder with tinyshakespeare/input.txt.gz by --data`);
  });
  return gunzipSync(bytes).toString("utf8");
}

function asCharacters(texts: readonly string[]): CharacterText {
  const characters = [...new Set(texts.join(""))].sort();
  const ids = new Map(characters.map((character, id) => [character, id]));
  const parts = texts.map((text) => {
    const all = Uint32Array.from(text, (character) => ids.get(character) as number);
    const border = Math.floor(0.9 * all.length);
    return { train: all.subarray(0, border), validation: all.subarray(border) };
  });
  const joined = (pick: (part: (typeof parts)[number]) => Uint32Array) =>
    Uint32Array.from(parts.flatMap((part) => [...pick(part)]));
  const topics = parts.map(({ validation }) => validation);
  return {
    vocabSize: characters.length,
    train: joined(({ train }) => train),
    validation: joined(({ validation }) => validation),
    topics,
  };
}

export interface TextBatch {
  /** [B · T] */
  ids: Uint32Array<ArrayBuffer>;
}

/** Random windows of the training text; a batch is drawn by its number alone. */
export class TextBatches {
  readonly #text: Uint32Array;
  readonly #sizes: { batchSize: number; length: number };
  readonly #key: RandomKey;
  #position = 0;

  constructor(text: Uint32Array, sizes: { batchSize: number; length: number }, key: RandomKey) {
    this.#text = text;
    this.#sizes = sizes;
    this.#key = key;
  }

  next(): TextBatch {
    const { batchSize, length } = this.#sizes;
    const places = this.#key.fold(this.#position++).uniform(batchSize);
    const ids = new Uint32Array(batchSize * length);
    for (const [b, place] of places.entries()) {
      const start = Math.floor(place * (this.#text.length - length));
      ids.set(this.#text.subarray(start, start + length), b * length);
    }
    return { ids };
  }

  state(): { position: number } {
    return { position: this.#position };
  }

  restore({ position }: { position: number }): void {
    this.#position = position;
  }
}

/** Windows spread evenly over a text, the same for every model. */
export function evenWindows(text: Uint32Array, count: number, length: number): Uint32Array<ArrayBuffer> {
  const ids = new Uint32Array(count * length);
  for (let i = 0; i < count; i++) {
    const start = Math.floor((i * (text.length - length)) / Math.max(1, count - 1));
    ids.set(text.subarray(start, start + length), i * length);
  }
  return ids;
}

/** Swaps characters for random others, at this rate. */
export function corrupted(ids: Uint32Array, rate: number, vocabSize: number, key: RandomKey): Uint32Array<ArrayBuffer> {
  const [chance, other] = [key.split("where").uniform(ids.length), key.split("what").uniform(ids.length)];
  return Uint32Array.from(ids, (id, i) =>
    (chance[i] as number) < rate ? Math.floor((other[i] as number) * vocabSize) : id,
  );
}
