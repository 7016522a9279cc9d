import { fileURLToPath } from "node:url";
import { checkProfileFile, createProgress, type Progress, profiled } from "@moebius/cli";
import type { Device } from "@moebius/runtime/device";
import type { TimeMoe } from "@moebius/timeseries";
import type { ModelOptions } from "./options.ts";

export interface Session {
  readonly device: Device;
  readonly model: TimeMoe;
  readonly progress: Progress;
}

/** How often to look whether kernels compile: they do in each new process, for seconds where the driver keeps no cache. */
const LOOK_MS = 500;

/** Requests a device, makes or loads a model on it, works with it and clears up. Heavy packages load here, so that --help need not wait. */
export async function withModel<T>(
  { adapter, profile, quiet, json }: ModelOptions & { quiet?: boolean; json?: boolean },
  load: (device: Device, progress: Progress) => Promise<TimeMoe>,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  await checkProfileFile(profile);
  using progress = createProgress({ quiet: quiet || json });
  const { requestDevice } = await import("@moebius/runtime/device");
  using device = await requestDevice({ ...(adapter ? { adapter } : {}), onNotice: progress.say });
  using model = await load(device, progress);
  const watch = setInterval(() => {
    const { count, numCompiling } = device.pipelines;
    if (numCompiling > 0) progress.report({ stage: "compile kernels", done: count - numCompiling, total: count });
  }, LOOK_MS);
  try {
    const result = await profiled({ device, file: profile, progress }, () => work({ device, model, progress }));
    await device.finish();
    return result;
  } finally {
    clearInterval(watch);
  }
}

/** Loads the checkpoint that the options name, or the one that comes along. */
export async function pretrained(model: string | undefined, device: Device, progress: Progress): Promise<TimeMoe> {
  const { bundledModelUrl, TimeMoe } = await import("@moebius/timeseries");
  return TimeMoe.fromPretrained(model ?? fileURLToPath(bundledModelUrl), { device, onProgress: progress.report });
}
