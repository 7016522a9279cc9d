import { listFolder } from "#host";
import { CheckpointError } from "../device/errors.ts";
import { type ByteSource, fileSource, reason } from "./byte-source.ts";
import { restoreFolder } from "./checkpoint-save.ts";
import { isObject, parseJson, shorten } from "./json.ts";
import { openSafetensors, type Safetensors } from "./safetensors.ts";
import type { TensorEntry } from "./safetensors-header.ts";
import type { StoredTensor } from "./stored-tensor.ts";

export const CONFIG_FILE = "config.json";
export const WEIGHTS_FILE = "model.safetensors";
export const INDEX_FILE = "model.safetensors.index.json";

/** An open checkpoint: one file of weights or several shards behind one list of names. */
export interface Checkpoint {
  /** The folder, or the names of the sources; for messages. */
  readonly location: string;
  /** What config.json holds, unchecked; undefined when there is none. */
  readonly config: unknown;
  readonly metadata: Readonly<Record<string, string>>;
  names(): string[];
  has(name: string): boolean;
  /** Format and shape without reading data. @throws {CheckpointError} when there is no such tensor */
  entry(name: string): TensorEntry;
  /** @throws {CheckpointError} when there is no such tensor, or its file cannot be read */
  read(name: string): Promise<StoredTensor>;
  close(): Promise<void>;
}

/** The files of a checkpoint, wherever they lie. */
interface Files {
  readonly location: string;
  readonly names: readonly string[];
  open(name: string): Promise<ByteSource>;
}

/**
 * Opens a checkpoint: config.json with model.safetensors, or with model.safetensors.index.json and its shards.
 * A save that was interrupted between its last two steps is undone first (see {@link saveCheckpoint}).
 * @param from a folder, or named sources (URLs, files a user picked) whose names end in the published file names
 * @throws {CheckpointError} for a missing or damaged file, a missing shard, a tensor that its shard lacks, a tensor in two shards
 */
export async function openCheckpoint(from: string | readonly ByteSource[]): Promise<Checkpoint> {
  const files = typeof from === "string" ? await filesOfFolder(from) : filesOfSources(from);
  const config = files.names.includes(CONFIG_FILE) ? await readJson(files, CONFIG_FILE) : undefined;
  const parts: Safetensors[] = [];
  try {
    const { shards, weightMap } = await findShards(files);
    for (const shard of shards) parts.push(await openSafetensors(await files.open(shard)));
    const owners = mergeShards(parts);
    checkWeightMap(files.location, weightMap, shards, parts);
    return checkpoint(files.location, config, parts, owners);
  } catch (error) {
    for (const part of parts) await part.close();
    throw error;
  }
}

async function filesOfFolder(folder: string): Promise<Files> {
  await restoreFolder(folder);
  const names = await listFolder(folder).catch((error: unknown) => {
    throw new CheckpointError(folder, `cannot be opened as a checkpoint folder: ${reason(error)}`);
  });
  return { location: folder, names, open: (name) => fileSource(`${folder}/${name}`) };
}

function filesOfSources(sources: readonly ByteSource[]): Files {
  const baseName = (name: string) =>
    name
      .replace(/[?#].*$/, "")
      .split("/")
      .at(-1) ?? name;
  const byName = new Map<string, ByteSource>();
  const location = sources.map((source) => source.name).join(", ") || "(no sources)";
  for (const source of sources) {
    if (byName.has(baseName(source.name)))
      throw new CheckpointError(location, `two of the sources are called ${baseName(source.name)}`);
    byName.set(baseName(source.name), source);
  }
  return { location, names: [...byName.keys()], open: async (name) => byName.get(name) as ByteSource };
}

async function readJson(files: Files, name: string): Promise<unknown> {
  const source = await files.open(name);
  try {
    return parseJson(source.name, await source.read(0, source.sizeBytes));
  } finally {
    await source.close();
  }
}

/** @returns the weight files in order, and which of them the index gives to each tensor */
async function findShards(files: Files): Promise<{ shards: string[]; weightMap: Map<string, string> }> {
  if (files.names.includes(WEIGHTS_FILE)) return { shards: [WEIGHTS_FILE], weightMap: new Map() };
  if (!files.names.includes(INDEX_FILE)) {
    const found = files.names.slice(0, 8).join(", ") || "nothing";
    throw new CheckpointError(files.location, `has neither ${WEIGHTS_FILE} nor ${INDEX_FILE}; found: ${found}`);
  }
  const weightMap = parseIndex(files.location, await readJson(files, INDEX_FILE));
  const shards = [...new Set(weightMap.values())].sort();
  const missing = shards.filter((shard) => !files.names.includes(shard));
  if (missing.length > 0)
    throw new CheckpointError(
      files.location,
      `${missing.length} of ${shards.length} shards are missing: ${missing.slice(0, 4).join(", ")}${missing.length > 4 ? ", ..." : ""}; download them again`,
    );
  return { shards, weightMap };
}

function parseIndex(location: string, index: unknown): Map<string, string> {
  const file = `${location}/${INDEX_FILE}`;
  const weightMap = isObject(index) ? index.weight_map : undefined;
  if (!isObject(weightMap))
    throw new CheckpointError(file, `weight_map must be an object from tensor to shard, got ${shorten(weightMap)}`);
  const shards = new Map<string, string>();
  for (const [tensor, shard] of Object.entries(weightMap)) {
    // A path would let an index name files outside its folder.
    if (typeof shard !== "string" || shard === "" || /[/\\]/.test(shard))
      throw new CheckpointError(
        file,
        `its shard must be a file name in the same folder, got ${shorten(shard)}`,
        tensor,
      );
    shards.set(tensor, shard);
  }
  return shards;
}

function mergeShards(parts: readonly Safetensors[]): Map<string, Safetensors> {
  const owners = new Map<string, Safetensors>();
  for (const part of parts)
    for (const name of part.tensors.keys()) {
      const other = owners.get(name);
      if (other) throw new CheckpointError(part.file, `is also in ${other.file}: which one counts is unknown`, name);
      owners.set(name, part);
    }
  return owners;
}

function checkWeightMap(
  location: string,
  weightMap: Map<string, string>,
  shards: readonly string[],
  parts: readonly Safetensors[],
): void {
  for (const [tensor, shard] of weightMap)
    if (!parts[shards.indexOf(shard)]?.tensors.has(tensor))
      throw new CheckpointError(`${location}/${shard}`, `${INDEX_FILE} places it here, but the shard lacks it`, tensor);
}

function checkpoint(
  location: string,
  config: unknown,
  parts: readonly Safetensors[],
  owners: Map<string, Safetensors>,
): Checkpoint {
  const owner = (name: string): Safetensors => {
    const part = owners.get(name);
    if (!part)
      throw new CheckpointError(location, `is not in the checkpoint, which holds ${owners.size} tensors`, name);
    return part;
  };
  return {
    location,
    config,
    metadata: Object.assign({}, ...parts.map((part) => part.metadata)),
    names: () => [...owners.keys()],
    has: (name) => owners.has(name),
    entry: (name) => owner(name).tensors.get(name) as TensorEntry,
    read: async (name) => owner(name).read(name),
    close: async () => {
      for (const part of parts) await part.close();
    },
  };
}
