import { execFile } from "node:child_process";
import { cp, mkdir, stat } from "node:fs/promises";
import path from "node:path";

const TIMEOUT_MS = 600_000;

/** Where a peer's script is and how it is run. */
export interface PeerScript {
  /** Its folder beside the others'. */
  folder: string;
  /** Arguments of its bench.mjs; or a Python script. */
  args?: readonly string[];
  python?: string;
}

/** A peer that cannot run here; nothing is wrong with us. */
export class PeerError extends Error {}

/** Copies the scripts, which may lie in a read-only place, and installs what they import; once. */
export async function installPeer({ folder, python }: PeerScript, peers: string, scratch: string): Promise<void> {
  const scripts = path.join(peers, folder);
  if (!(await exists(scripts))) throw new PeerError(`there is no ${scripts}`);
  const own = path.join(scratch, folder);
  await mkdir(own, { recursive: true }); // made by cp, it would be as read-only as the original
  await cp(peers, scratch, { recursive: true, filter: (source) => source === peers || source.endsWith(".mjs") });
  await cp(scripts, own, { recursive: true });
  if (python !== undefined || (await exists(path.join(own, "node_modules")))) return;
  await execute("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund"], own);
}

/** What a peer prints of a case. */
export interface PeerLine {
  case: string;
  ms: number | null;
  threads?: number;
}

/** Runs the script in a process of its own. @throws {PeerError} when it prints nothing and fails */
export async function runPeer({ folder, args = [], python }: PeerScript, scratch: string): Promise<PeerLine[]> {
  const own = path.join(scratch, folder);
  const venv = path.join(own, "venv/bin/python");
  const output = python
    ? await execute((await exists(venv)) ? venv : (process.env.PYTHON ?? "python3"), [python], own)
    : await execute(process.execPath, ["bench.mjs", ...args], own);
  return output
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as PeerLine);
}

/** @returns what the command printed, also when it failed in the end */
function execute(command: string, args: readonly string[], cwd: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const limits = { timeout: TIMEOUT_MS, maxBuffer: 2 ** 26 };
    execFile(command, args, { cwd, ...limits }, (error, stdout) => {
      if (error && stdout === "") reject(new PeerError(error.message.trim().split("\n").at(-1)));
      else resolve(stdout);
    });
  });
}

const exists = (file: string) =>
  stat(file).then(
    () => true,
    () => false,
  );
