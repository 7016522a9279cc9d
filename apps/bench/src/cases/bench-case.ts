import type { Device } from "@moebius/runtime/device";

/** One measured run, recorded but not awaited; it disposes what it makes. */
export type Run = () => void;

export interface PreparedCase {
  run: Run;
  /** Floating-point operations, bytes that must move, or tokens of one run: what the rate is made of. */
  work: { flops?: number; bytes?: number; tokens?: number };
  /** Run in turn with `run`; its work may differ. */
  reference?: { name: string; run: Run; work: PreparedCase["work"] };
  /** Disposed after the measurement. */
  owned: readonly Disposable[];
}

export interface BenchCase {
  name: string;
  prepare(device: Device): PreparedCase;
}

/** A row of the benchmark: rates are medians of warm runs, the ratio is ours over the reference's, both measured in turn. */
export interface BenchRow {
  case: string;
  backend: "webgpu";
  adapter: string;
  ms: number;
  gflops?: number;
  gbps?: number;
  tokens_per_s?: number;
  bytes?: number;
  reference?: string;
  ratio?: number;
}
