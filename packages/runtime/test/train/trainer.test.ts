import { mkdtemp, readFile, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { testDevice } from "@moebius/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { scale } from "../../src/ops/elementwise.ts";
import { sum } from "../../src/ops/reduction.ts";
import { adamw } from "../../src/optim/index.ts";
import { Trainer } from "../../src/train/index.ts";
import { TinyData, TinyModel, tinyTrainer } from "./regression.ts";

const device = await testDevice();
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), "moebius-train-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function losses(trainer: ReturnType<typeof tinyTrainer>, steps: number, stopAfter = steps): Promise<number[]> {
  const all: number[] = [];
  for await (const { loss } of trainer.run(steps)) {
    all.push(loss);
    if (all.length === stopAfter) break;
  }
  return all;
}

async function weights(model: TinyModel): Promise<number[]> {
  const read = await Promise.all([...model.parameters().values()].map((parameter) => parameter.read()));
  return read.flatMap((values) => [...values]);
}

describe("Trainer", () => {
  test("lowers the loss", async () => {
    using model = new TinyModel(device);
    using trainer = tinyTrainer(model);
    const all = await losses(trainer, 120);
    expect(all).toHaveLength(120);
    expect(all.at(-1)).toBeLessThan(0.5 * (all[0] ?? 0));
  });

  test("a resumed run has the losses and weights of one that never stopped, bit for bit", async () => {
    using whole = new TinyModel(device);
    using wholeTrainer = tinyTrainer(whole);
    const expected = await losses(wholeTrainer, 30);

    const place = path.join(folder, "resume");
    using first = new TinyModel(device);
    using firstTrainer = tinyTrainer(first, { folder: place, checkpointEvery: 10 });
    await losses(firstTrainer, 30, 17);
    using second = new TinyModel(device);
    using secondTrainer = tinyTrainer(second, { folder: place, checkpointEvery: 10, resume: true });
    expect(await losses(secondTrainer, 30)).toEqual(expected.slice(10));
    expect(await weights(second)).toEqual(await weights(whole));

    const lines = (await readFile(path.join(place, "metrics.jsonl"), "utf8"))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.map(({ step }) => step)).toEqual(Array.from({ length: 30 }, (_, step) => step));
    expect(lines.map(({ loss }) => loss)).toEqual(expected);
  });

  test("a second run in the same folder must be a resume", async () => {
    using model = new TinyModel(device);
    using trainer = tinyTrainer(model, { folder: path.join(folder, "resume") });
    await expect(losses(trainer, 30)).rejects.toThrow("holds checkpoints of an earlier run");
  });

  test("after the tenth step no new device memory is allocated", async () => {
    using model = new TinyModel(device);
    using trainer = tinyTrainer(model, { ledgerEvery: 5 });
    const created: number[] = [];
    for await (const _ of trainer.run(40)) created.push(device.memory.use.buffersCreated);
    expect(created.at(-1)).toBe(created[10]);
  });

  test("a loss that is not finite ends the run and names the step", async () => {
    using model = new TinyModel(device);
    using trainer = new Trainer({
      model,
      data: new TinyData(),
      optimizer: adamw({ learningRate: 1e-3 }),
      loss: (_, { step }) => ({
        loss: scale(sum([...model.parameters().values()][0] as never), step === 3 ? Number.NaN : 1),
      }),
    });
    const before: number[] = [];
    await expect(
      (async () => {
        for await (const { step } of trainer.run(10)) before.push(step);
      })(),
    ).rejects.toThrow("step 3: the loss is NaN");
    expect(before).toEqual([0, 1, 2]);
  });

  test("an expert that received tokens but no gradient ends the run", async () => {
    using model = new TinyModel(device);
    for (const [name, parameter] of model.parameters())
      if (name.endsWith("down_proj")) parameter.write(new Float32Array(parameter.size));
    for (const [name, parameter] of model.parameters())
      if (name.endsWith("up_proj")) parameter.write(new Float32Array(parameter.size));
    using trainer = tinyTrainer(model, { ledgerEvery: 1 });
    await expect(losses(trainer, 3)).rejects.toThrow(/moe\.experts\.\w+\[\d\] received \d+ tokens but no gradient/);
  });
});
