import type { Device } from "@moebius/runtime/device";
import type { BenchCase, BenchRow, PreparedCase, Run } from "./bench-case.ts";

/** A run is repeated within one submission until it takes about this long, so that waiting does not count. */
const TARGET_MS = 30;

/** Measures one case: a warm-up that compiles, then `rounds` rounds in which ours and the reference take turns. */
export async function measure(device: Device, { name, prepare }: BenchCase, rounds: number): Promise<BenchRow> {
  const prepared = prepare(device);
  try {
    const own = await calibrate(device, prepared.run);
    const other = prepared.reference && (await calibrate(device, prepared.reference.run));
    for (let round = 0; round < rounds; round++) {
      await own.measure();
      await other?.measure();
    }
    return row(name, device, prepared, own.median(), other?.median());
  } finally {
    for (const one of prepared.owned) one[Symbol.dispose]();
  }
}

async function calibrate(device: Device, run: Run) {
  const time = async (repeats: number) => {
    const start = performance.now();
    for (let i = 0; i < repeats; i++) run();
    await device.finish();
    return (performance.now() - start) / repeats;
  };
  await time(1);
  const repeats = Math.max(1, Math.min(50, Math.round(TARGET_MS / (await time(1)))));
  const times: number[] = [];
  return {
    measure: async () => {
      times.push(await time(repeats));
    },
    median: () => times.sort((a, b) => a - b)[times.length >> 1] as number,
  };
}

function row(
  name: string,
  device: Device,
  { work, reference }: PreparedCase,
  ms: number,
  referenceMs: number | undefined,
): BenchRow {
  const rate = (amount: number, unit: number, time: number) => amount / (time * unit);
  const speed = ({ flops, bytes, tokens }: PreparedCase["work"], time: number) =>
    (flops ?? bytes ?? tokens ?? 1) / time;
  return {
    case: name,
    backend: "webgpu",
    adapter: device.describe().adapter,
    ms: round(ms),
    ...(work.flops === undefined ? {} : { gflops: round(rate(work.flops, 1e6, ms)) }),
    ...(work.bytes === undefined ? {} : { gbps: round(rate(work.bytes, 1e6, ms)), bytes: work.bytes }),
    ...(work.tokens === undefined ? {} : { tokens_per_s: round(rate(work.tokens, 1e-3, ms)) }),
    ...(reference && referenceMs !== undefined
      ? { reference: reference.name, ratio: round(speed(work, ms) / speed(reference.work, referenceMs)) }
      : {}),
  };
}

const round = (x: number) => Number(x.toPrecision(4));
