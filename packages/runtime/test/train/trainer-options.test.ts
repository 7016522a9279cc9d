import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { testDevice } from "@moebius/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CheckpointError } from "../../src/device/index.ts";
import { scale } from "../../src/ops/elementwise.ts";
import { sum } from "../../src/ops/reduction.ts";
import { adamw, sgd } from "../../src/optim/index.ts";
import { Trainer, type TrainingEvent, type TrainingStep } from "../../src/train/index.ts";
import { TinyData, TinyModel, tinyTrainer } from "./regression.ts";

const device = await testDevice();
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), "moebius-options-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function steps(
  trainer: ReturnType<typeof tinyTrainer>,
  total: number,
  stopAfter = total,
): Promise<TrainingStep[]> {
  const all: TrainingStep[] = [];
  for await (const step of trainer.run(total)) {
    all.push(step);
    if (all.length === stopAfter) break;
  }
  return all;
}

async function valuesOf(tensors: ReadonlyMap<string, { read(): Promise<Float32Array> }>): Promise<number[]> {
  return (await Promise.all([...tensors.values()].map((tensor) => tensor.read()))).flatMap((values) => [...values]);
}

describe("accumulate", () => {
  test("the loss of a step is the mean over its batches", async () => {
    const still = { optimizer: sgd({ learningRate: 0 }), ledgerEvery: 0 };
    using model = new TinyModel(device);
    using single = tinyTrainer(model, still);
    const one = (await steps(single, 6)).map(({ loss }) => loss);
    using triple = tinyTrainer(model, { ...still, accumulate: 3 });
    const [first, second] = await steps(triple, 2);
    expect(first?.loss).toBeCloseTo(((one[0] ?? 0) + (one[1] ?? 0) + (one[2] ?? 0)) / 3, 12);
    expect(second?.loss).toBeCloseTo(((one[3] ?? 0) + (one[4] ?? 0) + (one[5] ?? 0)) / 3, 12);
  });

  test("the same batch twice is a step with that batch once", async () => {
    class Repeated extends TinyData {
      #held = super.next();
      #uses = 0;
      override next() {
        if (this.#uses === 2) this.#held = super.next();
        this.#uses = (this.#uses % 2) + 1;
        return this.#held;
      }
    }
    const run = async (options: Parameters<typeof tinyTrainer>[1]) => {
      using model = new TinyModel(device);
      using trainer = tinyTrainer(model, options);
      return await steps(trainer, 8);
    };
    const once = await run({});
    const twice = await run({ data: new Repeated(), accumulate: 2 });
    for (const [i, { loss, gradientNorm }] of twice.entries()) {
      expect(loss).toBeCloseTo(once[i]?.loss ?? 0, 5);
      expect(gradientNorm).toBeCloseTo(once[i]?.gradientNorm ?? 0, 5);
    }
  });
});

describe("ema and evaluate", () => {
  test("evaluate sees the averages, and training goes on as if it had not looked", async () => {
    const run = async (options: Parameters<typeof tinyTrainer>[1]) => {
      using model = new TinyModel(device);
      const first = [...model.parameters().values()][0];
      let seen: number[] = [];
      using trainer = tinyTrainer(model, {
        ema: { decay: 0.9 },
        evaluate: async (step) => {
          seen = [...((await first?.read()) ?? [])];
          return { step };
        },
        ...options,
      });
      const done = await steps(trainer, 12);
      const average = [...(trainer.average?.state().values() ?? [])][0];
      return { done, seen, average: [...((await average?.read()) ?? [])], weights: await valuesOf(model.parameters()) };
    };
    const looked = await run({ evaluateEvery: 5 });
    expect(looked.seen).toEqual(looked.average);
    expect(looked.seen).not.toEqual(looked.weights.slice(0, looked.seen.length));
    expect(looked.done.map(({ evaluation }) => evaluation?.step)).toEqual(
      Array.from({ length: 12 }, (_, step) => ([4, 9, 11].includes(step) ? step : undefined)),
    );
    const blind = await run({ evaluateEvery: 1000 });
    expect(looked.weights).toEqual(blind.weights);
  });

  test("averages, accumulated batches and momentum resume bit for bit", async () => {
    const options = { optimizer: sgd({ learningRate: 0.05, momentum: 0.9 }), ema: { decay: 0.9 }, accumulate: 2 };
    using whole = new TinyModel(device);
    using wholeTrainer = tinyTrainer(whole, options);
    const expected = (await steps(wholeTrainer, 20)).map(({ loss }) => loss);
    const place = { ...options, folder: path.join(folder, "average"), checkpointEvery: 6 };
    using first = new TinyModel(device);
    using firstTrainer = tinyTrainer(first, place);
    await steps(firstTrainer, 20, 15);
    using second = new TinyModel(device);
    using secondTrainer = tinyTrainer(second, { ...place, resume: true });
    expect((await steps(secondTrainer, 20)).map(({ loss }) => loss)).toEqual(expected.slice(12));
    expect(await valuesOf(second.parameters())).toEqual(await valuesOf(whole.parameters()));
    expect(await valuesOf(secondTrainer.average?.state() ?? new Map())).toEqual(
      await valuesOf(wholeTrainer.average?.state() ?? new Map()),
    );
  });
});

describe("a run", () => {
  test("reports each step as an event", async () => {
    const events: TrainingEvent[] = [];
    using model = new TinyModel(device);
    using trainer = tinyTrainer(model, { onEvent: (event) => events.push(event), tokens: () => 32 });
    const done = await steps(trainer, 3);
    expect(events.map(({ stage, done, total, loss }) => ({ stage, done, total, loss }))).toEqual(
      done.map(({ step, loss }) => ({ stage: "train", done: step + 1, total: 3, loss })),
    );
    expect(events[0]?.expertLoad?.[0]?.reduce((a, b) => a + b, 0)).toBe(64); // 32 tokens, two experts each
    expect(events.every(({ tokensPerSecond }) => tokensPerSecond > 0)).toBe(true);
  });

  test.each([
    ["between checkpoints", 2],
    ["while a checkpointed step is looked at", 4],
  ])("interrupted %s ends with a checkpoint and says so", async (how, at) => {
    const place = path.join(folder, how);
    using model = new TinyModel(device);
    using trainer = tinyTrainer(model, { folder: place, checkpointEvery: 5 });
    const seen: TrainingStep[] = [];
    for await (const step of trainer.run(20)) {
      seen.push(step);
      if (step.step === at) process.emit("SIGINT");
    }
    expect(seen.map(({ stopped }) => stopped)).toEqual([...seen.slice(1).map(() => false), true]);
    using again = new TinyModel(device);
    using resumed = tinyTrainer(again, { folder: place, resume: true });
    expect((await steps(resumed, 20))[0]?.step).toBe((seen.at(-1)?.step ?? 0) + 1);
    expect(process.listenerCount("SIGINT")).toBe(0);
  });

  test("a resume with another seed is refused", async () => {
    const place = path.join(folder, "seed");
    using model = new TinyModel(device);
    using trainer = tinyTrainer(model, { folder: place, seed: 3 });
    await steps(trainer, 2);
    using other = tinyTrainer(model, { folder: place, seed: 4, resume: true });
    await expect(steps(other, 4)).rejects.toThrow(CheckpointError);
  });

  test("a loss that is not finite is named with its parts, and the last checkpoint stays", async () => {
    const place = path.join(folder, "not-finite");
    using model = new TinyModel(device);
    const first = [...model.parameters().values()][0];
    if (!first) throw new Error("the model has no parameters");
    using trainer = new Trainer({
      model,
      data: new TinyData(),
      optimizer: adamw({ learningRate: 1e-3 }),
      folder: place,
      checkpointEvery: 2,
      loss: (_, { step }) => {
        const fine = sum(first);
        const bad = scale(sum(first), step === 3 ? Number.NaN : 1);
        return { loss: bad, parts: { fine, bad } };
      },
    });
    const run = async () => {
      for await (const _ of trainer.run(10));
    };
    await expect(run()).rejects.toThrow(/step 3: the loss is NaN \(fine -?[\d.e-]+, bad NaN\)/);
    expect(await readdir(path.join(place, "checkpoints"))).toEqual(["step-000002"]);
    const lines = (await readFile(path.join(place, "metrics.jsonl"), "utf8")).trim().split("\n");
    expect(lines.map((line) => JSON.parse(line).step)).toEqual([0, 1, 2]);
  });

  test("the loss may be a plain tensor", async () => {
    using model = new TinyModel(device);
    const first = [...model.parameters().values()][0];
    if (!first) throw new Error("the model has no parameters");
    using trainer = new Trainer({
      model,
      data: new TinyData(),
      optimizer: sgd({ learningRate: 0.1 }),
      loss: () => sum(first),
    });
    for await (const { parts, gradientNorm } of trainer.run(1)) {
      expect(parts).toEqual({});
      expect(gradientNorm).toBeCloseTo(Math.sqrt(first.size), 4); // d Σ p / d p = 1
    }
  });

  test("impossible settings are an error that names them", () => {
    using model = new TinyModel(device);
    expect(() => tinyTrainer(model, { accumulate: 0 })).toThrow(
      "accumulate must be a whole number of at least 1, got 0",
    );
  });
});
