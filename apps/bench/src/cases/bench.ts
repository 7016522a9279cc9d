import { type Progress, profiled, UserError } from "@moebius/cli";
import { type AdapterClass, type Device, requestDevice } from "@moebius/runtime/device";
import { attentionCases } from "./attention.ts";
import type { BenchCase, BenchRow } from "./bench-case.ts";
import { decodeCases } from "./decode.ts";
import { gemmCases } from "./gemm.ts";
import { groupedCases } from "./grouped.ts";
import { measure } from "./measure.ts";
import { moeCases } from "./moe.ts";
import { optimizerCases } from "./optimizer.ts";
import { measurePeer, PEERS, type Peer } from "./peers.ts";
import { medianRouter, routerCases } from "./routers.ts";
import { timeMoeCases } from "./time-moe.ts";

const CASES: readonly BenchCase[] = [
  ...gemmCases,
  ...groupedCases,
  ...moeCases,
  ...routerCases,
  ...attentionCases,
  ...decodeCases,
  ...timeMoeCases,
  ...optimizerCases,
];

export interface BenchOptions {
  /** Only cases and peers whose name contains one of these. Default: all. */
  names?: readonly string[];
  rounds: number;
  /** The folder with the peers' scripts; without it their rows are left out. */
  peers?: string | undefined;
  /** Where to write a trace of one run of each case. */
  profile?: string | undefined;
  progress: Progress;
  /** Told what computes, before the first case. */
  onAdapter?: (adapterClass: AdapterClass) => void;
  /** Receives each row as it comes. */
  onRow?: (row: BenchRow) => void;
}

/** @throws {UserError} when no case or peer has such a name */
export async function runBench(options: BenchOptions): Promise<{ adapterClass: AdapterClass; rows: BenchRow[] }> {
  const { rounds, progress, onRow, peers: folder } = options;
  const { cases, peers } = choose(options);
  using device = await requestDevice({ onNotice: progress.say });
  options.onAdapter?.(device.adapterClass);
  const total = cases.length + (folder === undefined ? 0 : peers.length);
  const rows: BenchRow[] = [];
  const add = (measured: readonly BenchRow[]) => {
    rows.push(...measured);
    for (const row of measured) onRow?.(row);
  };
  for (const [done, one] of cases.entries()) {
    progress.report({ stage: "bench", done, total, note: one.name });
    add(await measure(device, one, rounds));
  }
  add(medianRouter(rows));
  for (const [i, peer] of folder === undefined ? [] : peers.entries()) {
    progress.report({ stage: "bench", done: cases.length + i, total, note: peer.name });
    add(await measurePeer(device, peer, { folder: folder as string, rounds, say: progress.say }));
  }
  progress.end();
  if (options.profile !== undefined) await traceRuns(device, cases, options.profile, progress);
  return { adapterClass: device.adapterClass, rows };
}

function choose({ names = [] }: BenchOptions): { cases: readonly BenchCase[]; peers: readonly Peer[] } {
  const isNamed = ({ name }: { name: string }) =>
    names.length === 0 || names.some((part) => name.toLowerCase().includes(part.toLowerCase()));
  const chosen = { cases: CASES.filter(isNamed), peers: PEERS.filter(isNamed) };
  if (chosen.cases.length + chosen.peers.length > 0) return chosen;
  const all = [...CASES, ...PEERS].map(({ name }) => name);
  throw new UserError(`no case is named like "${names.join('" or "')}"; there are: ${all.join("; ")}`);
}

/** Writes a trace of one run of each case; what they need is made and compiled before. */
async function traceRuns(device: Device, cases: readonly BenchCase[], file: string, progress: Progress) {
  const prepared = cases.map(({ prepare }) => prepare(device));
  try {
    for (const { setup, run } of prepared) {
      setup?.();
      run();
      setup?.();
    }
    await device.finish();
    await profiled({ device, file, progress }, async () => {
      for (const { run } of prepared) run();
      await device.finish();
    });
  } finally {
    for (const { owned } of prepared) for (const one of owned) one[Symbol.dispose]();
  }
}
