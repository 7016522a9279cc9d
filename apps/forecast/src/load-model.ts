import { fileURLToPath } from "node:url";
import type { Progress } from "@moebius/cli";
import { type Device, requestDevice } from "@moebius/runtime/device";
import { bundledModelUrl, TimeMoe } from "@moebius/timeseries";
import type { ModelOptions } from "./options.ts";

/** Requests a device and loads the model onto it, saying so. */
export async function loadModel(
  { model, adapter }: ModelOptions,
  progress: Progress,
): Promise<{ device: Device; model: TimeMoe }> {
  const device = await requestDevice({ ...(adapter ? { adapter } : {}), onNotice: progress.say });
  const loaded = await TimeMoe.fromPretrained(model ?? fileURLToPath(bundledModelUrl), {
    device,
    onProgress: progress.report,
  });
  return { device, model: loaded };
}
