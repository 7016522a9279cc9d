import { mkdtemp } from "node:fs/promises";
import os from "node:os";
import { testDevice } from "@moebius/testing";
import { expect, test } from "vitest";
import { TinyModel, tinyTrainer } from "./regression.ts";

const device = await testDevice();
test("interrupt while the consumer holds a checkpoint step is reported", async () => {
  const folder = await mkdtemp(`${os.tmpdir()}/moebius-train-`);
  using model = new TinyModel(device);
  using trainer = tinyTrainer(model, { folder, checkpointEvery: 5 });
  const seen: string[] = [];
  for await (const { step, stopped } of trainer.run(20)) {
    seen.push(`${step}${stopped}`);
    if (step === 4) {
      process.emit("SIGINT");
    }
  }
  expect(seen.at(-1)).toMatch(/true/);
});
