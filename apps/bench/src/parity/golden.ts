import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { UserError } from "@moebius/cli";
import {
  type Checkpoint,
  fileSource,
  openCheckpoint,
  openSafetensors,
  type StoredTensor,
  toFloat32,
  toInt32,
} from "@moebius/runtime/io";
import { type Comparison, compare, type Tolerance } from "./compare.ts";

/** A folder with a reference implementation's inputs, weights and outputs; counts what was used and compared. */
export class Golden {
  readonly folder: string;
  readonly name: string;
  readonly config: Record<string, unknown>;
  readonly comparisons: Comparison[] = [];
  readonly #tensors = new Map<string, StoredTensor>();
  readonly #untouched: Set<string>;

  private constructor(folder: string, config: Record<string, unknown>, tensors: readonly StoredTensor[]) {
    this.folder = folder;
    this.name = path.basename(path.resolve(folder));
    this.config = config;
    for (const tensor of tensors) this.#tensors.set(tensor.name, tensor);
    this.#untouched = new Set(this.#tensors.keys());
  }

  /** @throws {UserError} when the folder lacks one of its files, or its config.json is none */
  static async open(folder: string): Promise<Golden> {
    for (const file of ["config.json", "io.safetensors"])
      if (!existsSync(path.join(folder, file)))
        throw new UserError(
          `${folder}: has no ${file}; a golden folder holds config.json, io.safetensors and mostly model.safetensors`,
        );
    const config = await readConfig(path.join(folder, "config.json"));
    const file = await openSafetensors(await fileSource(path.join(folder, "io.safetensors")));
    try {
      const tensors: StoredTensor[] = [];
      for (const name of file.tensors.keys()) tensors.push(await file.read(name));
      return new Golden(folder, config, tensors);
    } finally {
      await file.close();
    }
  }

  /** A number of config.json. @throws {UserError} naming the key that is missing or no number */
  number(key: string): number {
    const value = this.config[key];
    if (typeof value !== "number")
      throw new UserError(`${this.folder}/config.json: "${key}" must be a number, got ${value}`);
    return value;
  }

  openWeights(): Promise<Checkpoint> {
    return openCheckpoint(this.folder);
  }

  /** All weights in f32, by their names. */
  async readWeights(): Promise<Map<string, Float32Array<ArrayBuffer>>> {
    const checkpoint = await this.openWeights();
    try {
      const values = new Map<string, Float32Array<ArrayBuffer>>();
      for (const name of checkpoint.names()) values.set(name, Float32Array.from(numbers(await checkpoint.read(name))));
      return values;
    } finally {
      await checkpoint.close();
    }
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  shape(name: string): readonly number[] {
    return this.#get(name).shape;
  }

  /** Values used as an input, whatever format they are stored in. */
  values(name: string): Float32Array<ArrayBuffer> {
    this.#untouched.delete(name);
    return Float32Array.from(numbers(this.#get(name)));
  }

  /** Holds our values against a stored tensor, if it is stored; `where` leaves out elements that the reference does not define. */
  compare(name: string, actual: ArrayLike<number>, tolerance: Tolerance, where?: (index: number) => boolean): void {
    const stored = this.#tensors.get(name);
    if (!stored) return;
    this.#untouched.delete(name);
    this.comparisons.push(compare(name, actual, numbers(stored), tolerance, where));
  }

  /** Stored tensors that were neither used as an input nor compared. */
  untouched(): string[] {
    return [...this.#untouched];
  }

  #get(name: string): StoredTensor {
    const tensor = this.#tensors.get(name);
    if (!tensor) throw new UserError(`${this.folder}/io.safetensors: has no tensor "${name}"`);
    return tensor;
  }
}

async function readConfig(file: string): Promise<Record<string, unknown>> {
  try {
    return JSON.parse(await readFile(file, "utf8"));
  } catch (error) {
    throw new UserError(`${file}: is no JSON: ${error instanceof Error ? error.message : error}`);
  }
}

const numbers = (stored: StoredTensor) => (/^(I|U|BOOL)/.test(stored.dtype) ? toInt32(stored) : toFloat32(stored));
