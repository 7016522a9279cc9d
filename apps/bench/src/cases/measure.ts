import type { Device } from "@moebius/runtime/device";
import type { BenchCase, BenchRow, Run, Work } from "./bench-case.ts";

/** A run is repeated within one submission until it takes about this long, so that waiting does not count. */
const TARGET_MS = 30;
const MAX_REPEATS = 50;
/** Slow cases get fewer rounds, so that none takes more than a few seconds, but not less than three. */
const BUDGET_MS = 5000;
const MIN_ROUNDS = 3;

/** Measures one case: warm-ups that compile, then rounds in which the case and its references take turns. */
export async function measure(device: Device, { name, prepare }: BenchCase, rounds: number): Promise<BenchRow[]> {
  const prepared = prepare(device);
  try {
    const { run, setup, work, references = [], facts = [] } = prepared;
    const own = await Timer.calibrate(device, run, setup);
    const others: Timer[] = [];
    for (const reference of references) others.push(await Timer.calibrate(device, reference.run));
    await takeTurns([own, ...others], rounds);
    const row = describeRow(device, name, work, own.medianMs);
    const rows = references.map((reference, i) => {
      const ratio = rateRatio(work, own.times, reference.work, (others[i] as Timer).times);
      return comparedRow(row, reference.name, ratio, reference.goal);
    });
    for (const fact of facts) rows.push(comparedRow(row, fact.name, await fact.ratio(own.medianMs), fact.goal));
    return rows.length > 0 ? rows : [row];
  } finally {
    for (const one of prepared.owned) one[Symbol.dispose]();
    device.trim();
  }
}

/** Times one run again and again. */
export class Timer {
  readonly #time: (repeats: number) => Promise<number>;
  readonly #repeats: number;
  /** Milliseconds of one run, a value a round. */
  readonly times: number[] = [];
  /** About how long a round takes. */
  readonly roundMs: number;

  private constructor(time: (repeats: number) => Promise<number>, warmMs: number) {
    this.#time = time;
    this.#repeats = Math.max(1, Math.min(MAX_REPEATS, Math.round(TARGET_MS / warmMs)));
    this.roundMs = this.#repeats * warmMs;
  }

  /** Runs twice: the first run compiles, the second tells how often a round repeats it. */
  static async calibrate(device: Device, run: Run, setup?: Run): Promise<Timer> {
    const time = async (repeats: number) => {
      for (let i = 0; setup && i < repeats; i++) setup();
      await device.finish();
      const start = performance.now();
      for (let i = 0; i < repeats; i++) run();
      await device.finish();
      return (performance.now() - start) / repeats;
    };
    await time(1);
    return new Timer(time, await time(1));
  }

  get medianMs(): number {
    return median(this.times);
  }

  async measure(): Promise<void> {
    this.times.push(await this.#time(this.#repeats));
  }
}

/** Rounds in which each timer has its turn. */
export async function takeTurns(timers: readonly Timer[], rounds: number): Promise<void> {
  const roundMs = timers.reduce((sum, timer) => sum + timer.roundMs, 0);
  const affordable = Math.min(rounds, Math.max(MIN_ROUNDS, Math.floor(BUDGET_MS / roundMs)));
  for (let round = 0; round < affordable; round++) for (const timer of timers) await timer.measure();
}

/** Our rate over the other's: the median over rounds of the ratio within a round, so that what slows a whole round cancels out. */
export function rateRatio(
  work: Work,
  times: readonly number[],
  otherWork: Work,
  otherTimes: readonly number[],
): number {
  const amount = ({ flops, bytes, tokens }: Work) => flops ?? bytes ?? tokens ?? 1;
  const share = amount(work) / amount(otherWork);
  return median(times.map((ms, i) => (share * (otherTimes[i] ?? Number.NaN)) / ms));
}

/** A row without a reference. */
export function describeRow(device: Device, name: string, { flops, bytes, tokens }: Work, ms: number): BenchRow {
  return {
    case: name,
    backend: "webgpu",
    adapter: device.describe().adapter,
    ms: round(ms),
    ...(flops === undefined ? {} : { gflops: round(flops / ms / 1e6) }),
    ...(bytes === undefined ? {} : { gbps: round(bytes / ms / 1e6), bytes }),
    ...(tokens === undefined ? {} : { tokens_per_s: round((1000 * tokens) / ms) }),
  };
}

/** The row beside what it is compared to. */
export function comparedRow(
  row: BenchRow,
  reference: string,
  ratio: number | undefined,
  goal: number | undefined,
): BenchRow {
  return {
    ...row,
    reference,
    ...(ratio === undefined ? {} : { ratio: round(ratio) }),
    ...(goal === undefined ? {} : { goal: round(goal) }),
  };
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}

const round = (x: number): number => Number(x.toPrecision(4));
