import os from "node:os";
import path from "node:path";
import type { AdapterClass, Device } from "@moebius/runtime/device";
import type { BenchRow } from "./bench-case.ts";
import { comparedRow, describeRow, Timer, takeTurns } from "./measure.ts";
import { layerName, prepareLayer } from "./moe.ts";
import { installPeer, PeerError, type PeerLine, type PeerScript, runPeer } from "./peer-process.ts";

/** Another library that runs the layer of moe.ts. */
export interface Peer extends PeerScript {
  name: string;
  /** Which of its lines count, where it prints several set-ups. */
  threads?: number;
  /** Ways to write the layer that do not count. */
  except?: RegExp;
  goals: Partial<Record<AdapterClass, { forward?: number; training?: number }>>;
}

const WEBGPU = { software: { forward: 10, training: 25 }, embedded: { forward: 5, training: 5 } };

/** In f32 its fused operator has no WebGPU kernel: the session runs it on the CPU. The quantised one computes something else. */
const FUSED = /com\.microsoft/;
const QUANTISED = /int4/;

export const PEERS: readonly Peer[] = [
  {
    name: "peer onnxruntime-node, WebGPU",
    folder: "onnxruntime-node",
    args: ["webgpu", "moe"],
    except: FUSED,
    goals: WEBGPU,
  },
  { name: "peer onnxruntime-web, WebGPU", folder: "onnxruntime-web", args: ["webgpu"], except: FUSED, goals: WEBGPU },
  { name: "peer jax-js, WebGPU", folder: "jax-js", args: ["webgpu"], goals: WEBGPU },
  { name: "peer tfjs, WebGPU", folder: "tfjs", args: ["webgpu"], goals: WEBGPU },
  {
    name: "peer onnxruntime-web, wasm, 2 threads",
    folder: "onnxruntime-web",
    args: ["wasm", "2"],
    except: QUANTISED,
    goals: { software: { forward: 1 } },
  },
  {
    name: "peer onnxruntime-node, CPU, 2 threads",
    folder: "onnxruntime-node",
    args: ["cpu", "moe"],
    threads: 2,
    except: QUANTISED,
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
    await installPeer(peer, folder, scratch);
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
      const { medianMs } = timers[kind];
      return [comparedRow(describeRow(device, name, work, medianMs), peer.name, ms / medianMs, goals?.[kind])];
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

/** A peer writes the layer in several ways; its fastest counts. */
export function fastest(lines: readonly PeerLine[], { threads, except }: Pick<Peer, "threads" | "except">) {
  const best = (prefix: string) => {
    const times = lines
      .filter((line) => line.case.startsWith(prefix) && !except?.test(line.case))
      .filter((line) => threads === undefined || line.threads === threads)
      .flatMap(({ ms }) => (ms === null ? [] : [ms]));
    return times.length > 0 ? Math.min(...times) : undefined;
  };
  return { forward: best("moe_fwd "), training: best("moe_fwd_bwd ") };
}
