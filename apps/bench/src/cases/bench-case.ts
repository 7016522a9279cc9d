import type { Device } from "@moebius/runtime/device";

/** One measured run, recorded but not awaited; it disposes what it makes. */
export type Run = () => void;

/** Floating-point operations, bytes that must move, or tokens of one run: what the rate is made of. */
export interface Work {
  flops?: number;
  bytes?: number;
  tokens?: number;
}

/** Run in turn with the case; its work may differ, since rates are compared. */
export interface Reference {
  name: string;
  run: Run;
  work: Work;
  /** The ratio to reach on this adapter. */
  goal?: number | undefined;
}

/** A property of the case's run, stated as a ratio of which more is better. */
export interface Fact {
  name: string;
  /** @param ms the median time of the case's run @returns undefined where it cannot be told */
  ratio: (ms: number) => Promise<number | undefined>;
  goal?: number | undefined;
}

export interface PreparedCase {
  /** Recorded before each run and not timed, such as the forward pass of a backward one. */
  setup?: Run;
  run: Run;
  work: Work;
  references?: readonly Reference[];
  facts?: readonly Fact[];
  /** Disposed after the measurement. */
  owned: readonly Disposable[];
}

export interface BenchCase {
  name: string;
  prepare(device: Device): PreparedCase;
}

/** A row of the benchmark: one case beside one reference. Times are medians of warm runs; the ratio is ours over the reference's rate. */
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
  /** The least ratio to reach on this class of adapter. */
  goal?: number;
}
