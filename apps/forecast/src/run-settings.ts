import { readFile } from "node:fs/promises";
import path from "node:path";
import { UserError } from "@moebius/cli";
import type { TimeMoeConfig } from "@moebius/timeseries";

/** What a run must keep from its start to its end; in run.json of its folder, so that --resume needs no other option. */
export interface RunSettings {
  config: TimeMoeConfig;
  steps: number;
  batch: number;
  context: number;
  learningRate: number;
  seed: number;
  validationShare: number;
}

export const settingsFile = (folder: string): string => path.join(folder, "run.json");

/**
 * The settings of the run in a folder, or undefined when there is none.
 * @throws {UserError} when there is one that is not to be resumed, or its file is damaged
 */
export async function readSettings(folder: string, resume: boolean): Promise<RunSettings | undefined> {
  const file = settingsFile(folder);
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined; // making the folder says more
    throw new UserError(`cannot read ${file}: ${error.message}`, { cause: error });
  });
  if (text === undefined) return undefined;
  if (!resume) throw new UserError(`${folder} holds a run; go on with it by --resume, or choose another --folder`);
  try {
    return JSON.parse(text) as RunSettings;
  } catch (error) {
    throw new UserError(`${file} is damaged; choose another --folder`, { cause: error });
  }
}
