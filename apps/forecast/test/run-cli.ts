import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../../", import.meta.url));

export interface CliResult {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs the command from source, as `npm run forecast` does. */
export function forecast(args: readonly string[], input?: string): Promise<CliResult> {
  return new Promise((resolve, reject) => {
    const node = [
      "--conditions=@moebius/source",
      "--import",
      "tsx",
      "--import",
      "./tooling/register.mjs",
      "apps/forecast/src/cli.ts",
    ];
    const child = spawn(process.execPath, [...node, ...args], { cwd: root });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (data: Buffer) => {
      stdout += data;
    });
    child.stderr.on("data", (data: Buffer) => {
      stderr += data;
    });
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
    child.stdin.end(input ?? "");
  });
}
