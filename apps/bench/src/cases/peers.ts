import { execFile } from "node:child_process";
import { cp, mkdir, stat } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import type { AdapterClass, Device } from "@moebius/runtime/device";
import type { BenchRow } from "./bench-case.ts";
import { describeRow, round, Timer, takeTurns } from "./measure.ts";
import { layerName, prepareLayer } from "./moe.ts";

/** Another library that runs the layer of moe.ts: a script that prints a JSON line a case. */
export interface Peer {
  name: string;
  /** Its folder beside the others'. */
  folder: string;
  /** Arguments of its bench.mjs; or a Python script. */
  args?: readonly string[];
  python?: string;
  /** Which of its lines count, where it prints several set-ups. */
  threads?: number;
  goals: Partial<Record<AdapterClass, { forward?: number; training?: number }>>;
}

const WEBGPU = { software: { forward: 10, training: 25 }, embedded: { forward: 5, training: 5 } };

export const PEERS: readonly Peer[] = [
  { name: "peer onnxruntime-node, WebGPU", folder: "onnxruntime-node", args: ["webgpu", "moe"], goals: WEBGPU },
  { name: "peer onnxruntime-web, WebGPU", folder: "onnxruntime-web", args: ["webgpu"], goals: WEBGPU },
  { name: "peer jax-js, WebGPU", folder: "jax-js", args: ["webgpu"], goals: WEBGPU },
  { name: "peer tfjs, WebGPU", folder: "tfjs", args: ["webgpu"], goals: WEBGPU },
  {
    name: "peer onnxruntime-web, wasm, 2 threads",
    folder: "onnxruntime-web",
    args: ["wasm", "2"],
    goals: { software: { forward: 1 } },
  },
  {
    name: "peer onnxruntime-node, CPU, 2 threads",
    folder: "onnxruntime-node",
    args: ["cpu", "moe"],
    threads: 2,
    goals: { software: { forward: 1 / 5 } },
  },
  {
    name: "peer torch, CPU, 2 threads",
    folder: "torch",
    python: "bench.py",
    threads: 2,
    goals: { software: { training: 1 / 3 } },
  },
];

const TIMEOUT_MS = 600_000;

interface PeerOptions {
  /** The folder that holds all peers. */
  folder: string;
  rounds: number;
  say: (line: string) => void;
}

/**
 * Measures our layer, then the peer's in a process of its own, then ours again, so that both see the same machine. A peer that
 * cannot run gives no rows, and a line that says why.
 */
export async function measurePeer(device: Device, peer: Peer, options: PeerOptions): Promise<BenchRow[]> {
  const { folder, rounds, say } = options;
  const scratch = process.env.SCRATCH ?? path.join(os.tmpdir(), "bench-peers");
  const { forward, forwardWork, training, trainingWork, owned } = prepareLayer(device);
  try {
    const timers = {
      forward: await Timer.calibrate(device, forward),
      training: await Timer.calibrate(device, training),
    };
    await install(peer, folder, scratch);
    const turn = () => takeTurns([timers.forward, timers.training], rounds);
    await turn();
    const best = fastest(await runPeer(peer, scratch), peer);
    await turn();
    if (best.forward === undefined && best.training === undefined)
      throw new PeerError(`it measured no layer; see what its script in ${path.join(scratch, peer.folder)} says`);
    const goals = peer.goals[device.adapterClass];
    const row = (kind: "forward" | "training", name: string, work: { flops?: number }): BenchRow[] => {
      const ms = best[kind];
      if (ms === undefined) return [];
      const goal = goals?.[kind];
      return [
        {
          ...describeRow(device, name, work, timers[kind].medianMs),
          reference: peer.name,
          ratio: round(ms / timers[kind].medianMs),
          ...(goal === undefined ? {} : { goal: round(goal) }),
        },
      ];
    };
    return [
      ...row("forward", layerName("forward"), forwardWork),
      ...row("training", layerName("forward + backward"), trainingWork),
    ];
  } catch (error) {
    if (!(error instanceof PeerError)) throw error;
    say(`${peer.name}: left out, ${error.message}`);
    return [];
  } finally {
    for (const one of owned) one[Symbol.dispose]();
  }
}

/** A peer that cannot run here; nothing is wrong with us. */
class PeerError extends Error {}

/** Copies the scripts, which may lie in a read-only place, and installs what they import; once. */
async function install({ folder, python }: Peer, peers: string, scratch: string): Promise<void> {
  const scripts = path.join(peers, folder);
  if (!(await exists(scripts))) throw new PeerError(`there is no ${scripts}`);
  const own = path.join(scratch, folder);
  await mkdir(own, { recursive: true }); // made by cp, it would be as read-only as the original
  await cp(peers, scratch, { recursive: true, filter: (source) => source === peers || source.endsWith(".mjs") });
  await cp(scripts, own, { recursive: true });
  if (python !== undefined || (await exists(path.join(own, "node_modules")))) return;
  await execute("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund"], own);
}

interface PeerLine {
  case: string;
  ms: number | null;
  threads?: number;
}

async function runPeer({ folder, args = [], python }: Peer, scratch: string): Promise<PeerLine[]> {
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

/** A peer writes the layer in several ways; its fastest counts. */
export function fastest(lines: readonly PeerLine[], { threads }: Pick<Peer, "threads">) {
  const best = (prefix: string) => {
    const times = lines
      .filter((line) => line.case.startsWith(prefix) && (threads === undefined || line.threads === threads))
      .flatMap(({ ms }) => (ms === null ? [] : [ms]));
    return times.length > 0 ? Math.min(...times) : undefined;
  };
  return { forward: best("moe_fwd "), training: best("moe_fwd_bwd ") };
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
