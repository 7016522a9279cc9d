import { existsSync } from "node:fs";
import { mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import {
  bytesSource,
  encodeSafetensors,
  fileSource,
  openCheckpoint,
  openSafetensors,
  saveCheckpoint,
  toFloat32,
  type WritableTensor,
  writeSafetensors,
} from "../../src/io/index.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const numbers = (name: string, ...values: number[]): WritableTensor => ({
  name,
  dtype: "F32",
  shape: [values.length],
  data: new Float32Array(values),
});
const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

async function shardedFolder(
  weightMap: Record<string, string>,
  shards: Record<string, WritableTensor[]>,
): Promise<string> {
  const folder = await temporaryFolder();
  for (const [file, tensors] of Object.entries(shards)) await writeSafetensors(`${folder}/${file}`, tensors);
  await writeFile(`${folder}/config.json`, json({ model_type: "test" }));
  await writeFile(
    `${folder}/model.safetensors.index.json`,
    json({ metadata: { total_size: 8 }, weight_map: weightMap }),
  );
  return folder;
}

describe("a saved checkpoint", () => {
  test("opens with its config, metadata and tensors", async () => {
    const folder = `${await temporaryFolder()}/run`;
    await saveCheckpoint(folder, {
      config: { hidden_size: 2 },
      tensors: [numbers("a", 1, 2), numbers("b", 3)],
      metadata: { step: "7" },
    });
    const checkpoint = await openCheckpoint(folder);
    expect(checkpoint.config).toEqual({ hidden_size: 2 });
    expect(checkpoint.metadata).toEqual({ step: "7" });
    expect(checkpoint.names()).toEqual(["a", "b"]);
    expect(checkpoint.entry("a")).toMatchObject({ dtype: "F32", shape: [2] });
    expect([...toFloat32(await checkpoint.read("b"))]).toEqual([3]);
    await expect(checkpoint.read("c")).rejects.toThrow(
      `${folder}: tensor "c": is not in the checkpoint, which holds 2 tensors`,
    );
    await checkpoint.close();
  });

  test("replaces the one before it, and leaves nothing beside it", async () => {
    const parent = await temporaryFolder();
    for (const value of [1, 2]) await saveCheckpoint(`${parent}/run/`, { config: {}, tensors: [numbers("a", value)] });
    const checkpoint = await openCheckpoint(`${parent}/run`);
    expect([...toFloat32(await checkpoint.read("a"))]).toEqual([2]);
    await checkpoint.close();
    expect(await readdir(parent)).toEqual(["run"]);
  });

  test("takes one tensor after the other from functions", async () => {
    const folder = `${await temporaryFolder()}/run`;
    const asked: string[] = [];
    const lazy = (name: string): WritableTensor => ({
      name,
      dtype: "F32",
      shape: [1],
      data: async () => new Float32Array([asked.push(name)]),
    });
    await saveCheckpoint(folder, { config: {}, tensors: [lazy("a"), lazy("b")] });
    const checkpoint = await openCheckpoint(folder);
    expect([...toFloat32(await checkpoint.read("b"))]).toEqual([2]);
    await checkpoint.close();
  });

  test("stays as it was when the next save fails", async () => {
    const parent = await temporaryFolder();
    const folder = `${parent}/run`;
    await saveCheckpoint(folder, { config: {}, tensors: [numbers("a", 1)] });
    const broken: WritableTensor = { ...numbers("b"), data: () => Promise.reject(new Error("device lost")) };
    await expect(saveCheckpoint(folder, { config: {}, tensors: [numbers("a", 2), broken] })).rejects.toThrow(
      "device lost",
    );
    const checkpoint = await openCheckpoint(folder);
    expect([...toFloat32(await checkpoint.read("a"))]).toEqual([1]);
    await checkpoint.close();
    expect(await readdir(parent)).toEqual(["run"]);
    expect((await readdir(folder)).sort()).toEqual(["config.json", "model.safetensors"]);
  });

  test("is put back when a save stopped between its two renames", async () => {
    const folder = `${await temporaryFolder()}/run`;
    await saveCheckpoint(folder, { config: { save: 1 }, tensors: [] });
    await rename(folder, `${folder}.previous`);
    const checkpoint = await openCheckpoint(folder);
    expect(checkpoint.config).toEqual({ save: 1 });
    await checkpoint.close();
  });

  test("holds nothing of a save that stopped earlier", async () => {
    const folder = `${await temporaryFolder()}/run`;
    await mkdir(`${folder}.incoming`);
    await writeFile(`${folder}.incoming/half`, "");
    await saveCheckpoint(folder, { config: {}, tensors: [] });
    expect((await readdir(folder)).sort()).toEqual(["config.json", "model.safetensors"]);
  });

  test("is not written over a file", async () => {
    const file = `${await temporaryFolder()}/run`;
    await writeFile(file, "text");
    await expect(saveCheckpoint(file, { config: {}, tensors: [] })).rejects.toThrow(
      "is a file: a checkpoint is saved as a folder",
    );
  });
});

describe("a sharded checkpoint", () => {
  const [first, second] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];

  test("reads each tensor from its shard", async () => {
    const folder = await shardedFolder(
      { a: first, b: second },
      { [first]: [numbers("a", 1)], [second]: [numbers("b", 2)] },
    );
    const checkpoint = await openCheckpoint(folder);
    expect(checkpoint.names()).toEqual(["a", "b"]);
    expect([...toFloat32(await checkpoint.read("b"))]).toEqual([2]);
    await checkpoint.close();
  });

  test("with a missing shard says which", async () => {
    const folder = await shardedFolder({ a: first, b: second }, { [first]: [numbers("a", 1)] });
    await expect(openCheckpoint(folder)).rejects.toThrow(`1 of 2 shards are missing: ${second}`);
  });

  test("whose shard lacks a tensor of the index is refused", async () => {
    const folder = await shardedFolder(
      { a: first, b: first, c: second },
      { [first]: [numbers("a", 1)], [second]: [numbers("c", 1)] },
    );
    await expect(openCheckpoint(folder)).rejects.toThrow(
      `${folder}/${first}: tensor "b": model.safetensors.index.json places it here, but the shard lacks it`,
    );
  });

  test("with a tensor in two shards is refused", async () => {
    const folder = await shardedFolder(
      { a: first, b: second },
      { [first]: [numbers("a", 1)], [second]: [numbers("a", 1), numbers("b", 2)] },
    );
    await expect(openCheckpoint(folder)).rejects.toThrow(
      `${folder}/${second}: tensor "a": is also in ${folder}/${first}`,
    );
  });

  test.each(["../secret.safetensors", "a/b.safetensors", "", "..\\x"])(
    "whose index names the shard %j is refused",
    async (shard) => {
      const folder = await shardedFolder({ a: shard }, {});
      await expect(openCheckpoint(folder)).rejects.toThrow(
        /tensor "a": its shard must be a file name in the same folder/,
      );
    },
  );

  test("with an index without a map is refused", async () => {
    const folder = await temporaryFolder();
    await writeFile(`${folder}/model.safetensors.index.json`, json({ weights: 1 }));
    await expect(openCheckpoint(folder)).rejects.toThrow(
      "weight_map must be an object from tensor to shard, got undefined",
    );
  });
});

describe("what is no checkpoint", () => {
  test("a folder that does not exist is named", async () => {
    await expect(openCheckpoint("/nowhere")).rejects.toThrow(
      "/nowhere: cannot be opened as a checkpoint folder: it does not exist",
    );
  });

  test("a folder without weights says what it holds", async () => {
    const folder = await temporaryFolder();
    await writeFile(`${folder}/notes.txt`, "");
    await expect(openCheckpoint(folder)).rejects.toThrow(
      "has neither model.safetensors nor model.safetensors.index.json; found: notes.txt",
    );
  });

  test("a config that is no JSON is named", async () => {
    const folder = `${await temporaryFolder()}/run`;
    await saveCheckpoint(folder, { config: {}, tensors: [] });
    await writeFile(`${folder}/config.json`, "{'a': 1}");
    await expect(openCheckpoint(folder)).rejects.toThrow(`${folder}/config.json: is not valid JSON`);
  });

  test("a folder whose weights were removed is refused", async () => {
    const folder = `${await temporaryFolder()}/run`;
    await saveCheckpoint(folder, { config: {}, tensors: [] });
    await rm(`${folder}/model.safetensors`);
    await expect(openCheckpoint(folder)).rejects.toThrow("found: config.json");
  });
});

describe("a checkpoint from sources", () => {
  test("is found by the ends of their names", async () => {
    const checkpoint = await openCheckpoint([
      bytesSource("https://example.org/m/config.json?download=true", json({ a: 1 })),
      bytesSource("https://example.org/m/model.safetensors", await encodeSafetensors([numbers("w", 5)])),
    ]);
    expect(checkpoint.config).toEqual({ a: 1 });
    expect([...toFloat32(await checkpoint.read("w"))]).toEqual([5]);
  });

  test("with two of one name is refused", async () => {
    const source = bytesSource("config.json", json({}));
    await expect(openCheckpoint([source, source])).rejects.toThrow("two of the sources are called config.json");
  });
});

const goldens = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../../../../shared/goldens");

describe.skipIf(!existsSync(goldens))(
  `published layouts (${goldens}${existsSync(goldens) ? "" : " is absent: skipped"})`,
  () => {
    test.each([
      ["time-moe-bf16", "BF16"],
      ["time-moe-small", "F32"],
    ])("%s opens, and every tensor is finite", async (name, dtype) => {
      const checkpoint = await openCheckpoint(path.join(goldens, name));
      expect(checkpoint.config).toMatchObject({ model_type: "time_moe" });
      expect(checkpoint.names().length).toBeGreaterThan(20);
      for (const tensor of checkpoint.names()) {
        const stored = await checkpoint.read(tensor);
        expect(stored.dtype).toBe(dtype);
        const values = toFloat32(stored);
        expect(values.length).toBe(stored.shape.reduce((a, b) => a * b, 1));
        expect(values.every(Number.isFinite)).toBe(true);
      }
      await checkpoint.close();
      const recorded = await openSafetensors(await fileSource(path.join(goldens, name, "io.safetensors")));
      for (const tensor of recorded.tensors.keys())
        expect((await recorded.read(tensor)).data.byteLength).toBe(recorded.tensors.get(tensor)?.sizeBytes);
      await recorded.close();
    });
  },
);
