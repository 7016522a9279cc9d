import { writeFile } from "node:fs/promises";
import path from "node:path";
import { CheckpointError } from "@moebius/runtime/device";
import { openCheckpoint, toFloat16, toFloat32, type WritableTensor, writeSafetensors } from "@moebius/runtime/io";
import { hasShared, sharedPath, testDevice } from "@moebius/testing";
import { TimeMoe } from "@moebius/timeseries";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "./temporary-folder.ts";
import { noisySeason, TINY, tinyModel } from "./tiny-model.ts";

/** A saved model whose tensors are changed. */
async function savedWith(change: (tensors: WritableTensor[]) => WritableTensor[]): Promise<string> {
  const folder = await temporaryFolder();
  using model = await tinyModel();
  await model.save(folder);
  const checkpoint = await openCheckpoint(folder);
  const tensors: WritableTensor[] = [];
  for (const name of checkpoint.names()) tensors.push(await checkpoint.read(name));
  await checkpoint.close();
  await writeSafetensors(path.join(folder, "model.safetensors"), change(tensors));
  return folder;
}

const load = async (folder: string) => TimeMoe.fromPretrained(folder, { device: await testDevice() });

const NORM = "model.norm.weight";
const EXPERT = "model.layers.1.ffn_layer.experts.2.up_proj.weight";

describe("loading and saving", () => {
  test("a missing tensor is named", async () => {
    const folder = await savedWith((tensors) => tensors.filter(({ name }) => name !== EXPERT));
    await expect(load(folder)).rejects.toThrow(CheckpointError);
    await expect(load(folder)).rejects.toThrow(
      `${folder}: tensor "${EXPERT}": is missing from the checkpoint, but config.json asks for it`,
    );
  });

  test("a tensor that is left over is named", async () => {
    const extra = { name: "lm_heads.3.out_layer.weight", dtype: "F32", shape: [1], data: new Float32Array(1) } as const;
    const folder = await savedWith((tensors) => [...tensors, extra]);
    await expect(load(folder)).rejects.toThrow(
      'tensor "lm_heads.3.out_layer.weight": has no place in the model that config.json describes (1 such tensors)',
    );
  });

  test("a tensor of another shape is named with both shapes", async () => {
    const folder = await savedWith((tensors) =>
      tensors.map((tensor) => (tensor.name === EXPERT ? { ...tensor, shape: [...tensor.shape].reverse() } : tensor)),
    );
    await expect(load(folder)).rejects.toThrow(`tensor "${EXPERT}": has shape [16, 8], config.json asks for [8, 16]`);
  });

  test("a tensor of integers is named", async () => {
    const folder = await savedWith((tensors) =>
      tensors.map((tensor) => (tensor.name === NORM ? { ...tensor, dtype: "I32" } : tensor)),
    );
    await expect(load(folder)).rejects.toThrow(`tensor "${NORM}": I32 cannot be read as float32`);
  });

  test("a config of another size is found out", async () => {
    const folder = await savedWith((tensors) => tensors);
    await writeFile(path.join(folder, "config.json"), JSON.stringify({ ...TINY, num_experts: 3 }));
    await expect(load(folder)).rejects.toThrow('gate.weight": has shape [4, 16], config.json asks for [3, 16]');
  });

  test("a folder without config.json is none", async () => {
    const folder = await temporaryFolder();
    await writeSafetensors(path.join(folder, "model.safetensors"), []);
    await expect(load(folder)).rejects.toThrow(new CheckpointError(folder, "has no config.json"));
  });

  test("nothing stays on the device when loading fails", async () => {
    const device = await testDevice();
    const folder = await savedWith((tensors) => tensors.slice(1));
    const before = device.memory.use.inUseBytes;
    await expect(load(folder)).rejects.toThrow("is missing");
    expect(device.memory.use.inUseBytes).toBe(before);
  });

  test("float16 files are read as what they hold", async () => {
    const folder = await savedWith((tensors) =>
      tensors.map((tensor) => {
        const data = toFloat16(toFloat32({ ...tensor, data: tensor.data as Uint8Array<ArrayBuffer>, file: "" }));
        return { ...tensor, dtype: "F16", data };
      }),
    );
    using model = await load(folder);
    const checkpoint = await openCheckpoint(folder);
    const stored = toFloat32(await checkpoint.read(NORM));
    await checkpoint.close();
    expect(await model.parameters().get(NORM)?.read()).toEqual(stored);
  });
});

describe("save", () => {
  test("and load give identical forecasts and the same configuration", async () => {
    const folder = await temporaryFolder();
    using model = await tinyModel();
    await model.save(folder);
    using loaded = await load(folder);
    expect(loaded.config).toMatchObject(model.config);
    const options = { horizon: 13 };
    expect(await loaded.forecast(noisySeason(30), options)).toEqual(await model.forecast(noisySeason(30), options));
  });

  test("in bfloat16 rounds the weights; config.json says what the file holds", async () => {
    const [first, second] = [await temporaryFolder(), await temporaryFolder()];
    using model = await tinyModel();
    await model.save(first, { dtype: "bfloat16", metadata: { steps: "7" } });
    using rounded = await load(first);
    await rounded.save(second);
    using again = await load(second);
    expect(await again.forecast(noisySeason(30), { horizon: 5 })).toEqual(
      await rounded.forecast(noisySeason(30), { horizon: 5 }),
    );
    const [narrow, wide] = [await openCheckpoint(first), await openCheckpoint(second)];
    expect([narrow.entry(NORM).dtype, wide.entry(NORM).dtype]).toEqual(["BF16", "F32"]);
    expect([narrow.config, wide.config]).toMatchObject([{ torch_dtype: "bfloat16" }, { torch_dtype: "float32" }]);
    expect(narrow.metadata).toEqual({ format: "pt", steps: "7" });
    await Promise.all([narrow.close(), wide.close()]);
  });

  test.skipIf(!hasShared).for(["time-moe-small", "time-moe-bf16"])(
    "%s keeps the published names and shapes",
    async (name) => {
      const folder = await temporaryFolder();
      using model = await load(sharedPath(`goldens/${name}`));
      await model.save(folder);
      const layout = async (from: string) => {
        const checkpoint = await openCheckpoint(from);
        const names = checkpoint.names().sort();
        const shapes = names.map((tensor) => `${tensor} ${checkpoint.entry(tensor).shape}`);
        await checkpoint.close();
        return shapes;
      };
      expect(await layout(folder)).toEqual(await layout(sharedPath(`goldens/${name}`)));
    },
  );
});
