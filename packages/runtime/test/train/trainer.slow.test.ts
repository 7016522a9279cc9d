import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { testDevice, uniform } from "@moebius/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TinyModel, tinyTrainer } from "./regression.ts";

const root = fileURLToPath(new URL("../../../../", import.meta.url));
const child = fileURLToPath(new URL("train-until-killed.ts", import.meta.url));
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), "moebius-kill-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** Runs the child until it ends, or sends `signal` once it has reported `afterSteps` steps. */
function train(
  place: string,
  steps: number,
  signal?: NodeJS.Signals,
  afterSteps = 0,
): Promise<{ output: string; steps: number }> {
  return new Promise((resolve, reject) => {
    const args = [
      "--conditions=@moebius/source",
      "--import",
      "tsx",
      "--import",
      "./tooling/register.mjs",
      child,
      place,
      String(steps),
    ];
    const running = spawn(process.execPath, args, { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    let seen = 0;
    running.stdout.on("data", (data: Buffer) => {
      output += data;
      seen = output.split("\n").length - 1;
      if (signal && seen >= afterSteps) running.kill(signal);
    });
    running.on("error", reject);
    running.on("close", () => resolve({ output, steps: seen }));
  });
}

const STEPS = 60;

describe("a training process", () => {
  test("killed ten times at random steps ends with the weights of one that never was", {
    timeout: 600_000,
  }, async () => {
    const whole = await train(path.join(folder, "whole"), STEPS);
    const final = whole.output.trim().split("\n").at(-1);
    expect(final).toMatch(/^done 59 /);
    const place = path.join(folder, "killed");
    const next = uniform(5);
    for (let kill = 0; kill < 10; kill++) {
      const { output } = await train(place, STEPS, "SIGKILL", 1 + Math.floor(next() * 9));
      expect(output).not.toContain("done");
    }
    const { output } = await train(place, STEPS);
    expect(output.trim().split("\n").at(-1)).toBe(final);
  });

  test("interrupted by Ctrl-C it saves a checkpoint and goes on from there", { timeout: 300_000 }, async () => {
    const place = path.join(folder, "interrupted");
    const first = await train(place, STEPS, "SIGINT", 8);
    const stopped = /^(\d+) stopped$/m.exec(first.output);
    expect(stopped).not.toBeNull();
    const second = await train(place, STEPS);
    expect(second.output.split("\n")[0]).toBe(String(Number(stopped?.[1]) + 1));
  });
});

test("a thousand steps allocate no new device memory after the tenth", { timeout: 600_000 }, async () => {
  const device = await testDevice();
  using model = new TinyModel(device);
  using trainer = tinyTrainer(model);
  let afterTen = 0;
  for await (const { step } of trainer.run(1000)) {
    // The ledger and the statistics are first read at step 0 and 10.
    if (step === 10) afterTen = device.memory.use.buffersCreated;
  }
  expect(device.memory.use.buffersCreated).toBe(afterTen);
});
