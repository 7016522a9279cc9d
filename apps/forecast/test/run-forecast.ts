import { spawn } from "node:child_process";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { requestDevice } from "@moebius/runtime/device";
import { TimeMoe } from "@moebius/timeseries";

/** The second import reads the kernels' .wgsl files. */
const nodeArguments = [
  "--conditions=@moebius/source",
  ...["tsx", new URL("../../../tooling/register.mjs", import.meta.url).href].flatMap((name) => ["--import", name]),
  fileURLToPath(new URL("../src/cli.ts", import.meta.url)),
];

export interface Finished {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** Runs the command from its source. */
export async function runForecast(args: readonly string[], { input = "" } = {}): Promise<Finished> {
  const child = spawn(process.execPath, [...nodeArguments, ...args], { env: { ...process.env, NO_COLOR: "1" } });
  const output = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const)
    child[name].setEncoding("utf8").on("data", (text: string) => {
      output[name] += text;
    });
  child.stdin.on("error", () => {}).end(input); // a program that has failed reads no input
  const status = await new Promise<number | null>((resolve) => child.on("close", resolve));
  return { status, ...output };
}

export async function temporaryFolder(): Promise<string> {
  return mkdtemp(path.join(tmpdir(), "moebius-forecast-"));
}

/** Writes a file of the folder. @returns its path */
export async function fileOf(folder: string, name: string, text: string | Uint8Array): Promise<string> {
  const file = path.join(folder, name);
  await writeFile(file, text);
  return file;
}

/** A model as small as they get, with random weights. @returns its folder */
export async function saveTinyModel(folder: string): Promise<string> {
  using device = await requestDevice({ onNotice: false });
  using model = TimeMoe.fromConfig(device, {
    hidden_size: 16,
    intermediate_size: 16,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    num_experts: 4,
    horizon_lengths: [1, 8],
    max_position_embeddings: 256,
  });
  const target = path.join(folder, "tiny");
  await model.save(target);
  return target;
}

/** "2024-01-01,5", …: a row a day, `value` of each row's number. */
export function days(count: number, value: (day: number) => number | string, from = Date.UTC(2024, 0, 1)): string {
  const rows = Array.from(
    { length: count },
    (_, day) => `${new Date(from + day * 86_400_000).toISOString().slice(0, 10)},${value(day)}\n`,
  );
  return `day,sold\n${rows.join("")}`;
}

export const weekly = (day: number): number => Math.round(100 * (20 + 5 * Math.sin((2 * Math.PI * day) / 7))) / 100;
