import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export interface ChildResult {
  used: boolean;
  description: string;
  driverFiles: string;
  doubled: number[];
}

/** Runs children/compute.ts in a process of its own, because the adapter changes the environment of its process. */
export async function computeInChild(cacheHome: string): Promise<ChildResult> {
  const child = fileURLToPath(new URL("children/compute.ts", import.meta.url));
  const { VK_DRIVER_FILES: _, ...env } = process.env;
  const { stdout } = await promisify(execFile)(process.execPath, ["--import", "tsx", child], {
    env: { ...env, XDG_CACHE_HOME: cacheHome },
  });
  return JSON.parse(stdout) as ChildResult;
}
