import type { Device } from "@moebius/runtime/device";
import type { Fact, Run } from "./bench-case.ts";
import { median } from "./measure.ts";

const ROUNDS = 3;

/** How often the JavaScript of a run, its recording and encoding, goes into its time. @param share the most it may take of it */
export function javascriptFact(device: Device, run: Run, share: number): Fact {
  return {
    name: "its JavaScript",
    goal: 1 / share,
    ratio: async (ms) => {
      const times: number[] = [];
      for (let round = 0; round < ROUNDS; round++) times.push(await javascriptMs(device, run));
      return ms / median(times);
    },
  };
}

/** A long list is flushed, and so encoded, within `run`; what is left is encoded later. */
async function javascriptMs(device: Device, run: Run): Promise<number> {
  const { counters } = device;
  const start = performance.now();
  run();
  const runMs = performance.now() - start;
  const encodedBefore = counters.encodeMs;
  await device.finish();
  return runMs + counters.encodeMs - encodedBefore;
}
