import type { Device } from "./device.ts";
import { type DeviceRecord, type DispatchRecord, submit } from "./record-list.ts";

/** What the adapter reaches at best, as `measureLimits` finds it. */
export interface MeasuredLimits {
  /** Of a matrix product. */
  readonly gflops: number;
  /** Of a copy, bytes read and written together. */
  readonly gbps: number;
}

export interface KernelProfile {
  readonly kernel: string;
  readonly calls: number;
  readonly ms: number;
  /** Of the operations and bytes that the kernel's launcher states as useful; 0 where it states none. */
  readonly gflops: number;
  readonly gbps: number;
  /** The larger of gflops and gbps as a part of the adapter's measured limit; only when limits were given. */
  readonly share?: number;
}

/** What the experts in use would need: their part of the work, as a model's author counts it. */
export interface IdealWork {
  readonly flops: number;
  readonly weightBytes: number;
}

/** What was executed over what the active experts would need: 1 = no work for idle experts, E/k = all of them ran. */
export interface Sparsity {
  readonly flops: number;
  /** Absent when no kernel states the weights that it reads. */
  readonly weightBytes?: number;
}

export interface ProfileOptions {
  /** See `measureLimits`. */
  limits?: MeasuredLimits;
  /** Layers of the model that runs. */
  numLayers?: number;
  ideal?: IdealWork;
}

export interface ProfileEvent {
  readonly kernel: string;
  /** Kernel and specialisation. */
  readonly label: string;
  readonly startMs: number;
  readonly durationMs: number;
}

export interface ProfileReport {
  /** The most expensive first. */
  readonly kernels: readonly KernelProfile[];
  /** Time of all kernels together. */
  readonly totalMs: number;
  /** Time of the host in recording and encoding. */
  readonly hostMs: number;
  readonly dispatches: number;
  /** Only when the number of layers was given. */
  readonly dispatchesPerLayer?: number;
  readonly jsMicrosecondsPerDispatch: number;
  readonly compileMs: number;
  /** Pipelines that had to be compiled. */
  readonly pipelines: number;
  /** Most bytes in use at once. */
  readonly peakBytes: number;
  /** Bytes that the kernels state to move, all together. */
  readonly bytes: number;
  /** Only when the ideal was given. */
  readonly sparsity?: Sparsity;
  readonly events: readonly ProfileEvent[];
}

/** Half of WebGPU's 4096 queries a set: each dispatch takes two. */
const DISPATCHES_PER_SET = 2048;

/**
 * Runs `fn` and measures each dispatch: by the device's timestamps where it has them, else by waiting for each one, which adds
 * about 0.1 ms to it. Call `fn` once before, since some adapters compile at the first dispatch.
 * @param fn records work on `device`; a promise is awaited
 */
export async function profile(
  device: Device,
  fn: () => unknown,
  { limits, numLayers, ideal }: ProfileOptions = {},
): Promise<ProfileReport> {
  await device.finish();
  const { counters, pipelines, memory } = device;
  const before = { recordMs: counters.recordMs, compileMs: pipelines.compileMs, count: pipelines.count };
  const peakBefore = memory.use.peakBytes;
  memory.use.peakBytes = memory.use.inUseBytes;
  const watch = device.gpu.features.has("timestamp-query") ? new TimestampWatch(device) : new WallWatch(device);
  device.observe((records) => watch.run(records));
  try {
    await fn();
    await device.finish();
  } finally {
    device.observe(undefined);
  }
  const spans = await watch.spans();
  const { peakBytes } = memory.use;
  memory.use.peakBytes = Math.max(peakBefore, peakBytes);
  const hostMs = counters.recordMs - before.recordMs + watch.encodeMs;
  return {
    ...summarise(spans, limits),
    hostMs,
    dispatches: spans.length,
    ...(numLayers === undefined ? {} : { dispatchesPerLayer: spans.length / numLayers }),
    jsMicrosecondsPerDispatch: spans.length === 0 ? 0 : (1000 * hostMs) / spans.length,
    compileMs: pipelines.compileMs - before.compileMs,
    pipelines: pipelines.count - before.count,
    peakBytes,
    bytes: total(spans, "bytes"),
    ...(ideal && { sparsity: sparsityOf(spans, ideal) }),
  };
}

function total(spans: readonly Span[], what: "flops" | "bytes" | "weightBytes"): number {
  return spans.reduce((sum, { record }) => sum + record[what], 0);
}

function sparsityOf(spans: readonly Span[], ideal: IdealWork): Sparsity {
  const weightBytes = total(spans, "weightBytes");
  return {
    flops: total(spans, "flops") / ideal.flops,
    ...(weightBytes > 0 ? { weightBytes: weightBytes / ideal.weightBytes } : {}),
  };
}

interface Span {
  readonly record: DispatchRecord;
  readonly startMs: number;
  readonly endMs: number;
}

/** Gives each dispatch a pass of its own that notes its begin and end on the device. */
class TimestampWatch {
  readonly #device: Device;
  readonly #results: Promise<Span[]>[] = [];
  encodeMs = 0;

  constructor(device: Device) {
    this.#device = device;
  }

  async run(records: readonly DeviceRecord[]): Promise<void> {
    for (let at = 0; at < records.length; at += DISPATCHES_PER_SET)
      this.#results.push(this.#submit(records.slice(at, at + DISPATCHES_PER_SET)));
  }

  async #submit(records: readonly DeviceRecord[]): Promise<Span[]> {
    const { gpu, pipelines } = this.#device;
    const dispatches = records.filter((record) => record.kind === "dispatch");
    if (dispatches.length === 0) {
      submit(gpu, pipelines.uniformLayout, records);
      return [];
    }
    const querySet = gpu.createQuerySet({ type: "timestamp", count: 2 * dispatches.length });
    const size = 16 * dispatches.length;
    const resolved = gpu.createBuffer({ size, usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC });
    const staging = gpu.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    const start = performance.now();
    submit(gpu, pipelines.uniformLayout, records, querySet);
    this.encodeMs += performance.now() - start;
    const encoder = gpu.createCommandEncoder();
    encoder.resolveQuerySet(querySet, 0, 2 * dispatches.length, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, staging, 0, size);
    gpu.queue.submit([encoder.finish()]);
    await this.#device.settle(staging.mapAsync(GPUMapMode.READ));
    const times = new BigUint64Array(staging.getMappedRange().slice(0));
    for (const resource of [querySet, resolved, staging]) resource.destroy();
    const ms = (index: number) => Number(times[index] ?? 0n) / 1e6;
    return dispatches.map((record, i) => ({ record, startMs: ms(2 * i), endMs: ms(2 * i + 1) }));
  }

  async spans(): Promise<Span[]> {
    return (await Promise.all(this.#results)).flat();
  }
}

/** Submits each dispatch by itself and waits for it. */
class WallWatch {
  readonly #device: Device;
  readonly #spans: Span[] = [];
  encodeMs = 0;

  constructor(device: Device) {
    this.#device = device;
  }

  async run(records: readonly DeviceRecord[]): Promise<void> {
    const { gpu, pipelines } = this.#device;
    for (const record of records) {
      const startMs = performance.now();
      submit(gpu, pipelines.uniformLayout, [record]);
      this.encodeMs += performance.now() - startMs;
      await this.#device.settle(gpu.queue.onSubmittedWorkDone());
      if (record.kind === "dispatch") this.#spans.push({ record, startMs, endMs: performance.now() });
    }
  }

  async spans(): Promise<Span[]> {
    return this.#spans;
  }
}

function summarise(spans: readonly Span[], limits: MeasuredLimits | undefined) {
  const origin = spans[0]?.startMs ?? 0;
  const events: ProfileEvent[] = [];
  const sums = new Map<string, { calls: number; ms: number; flops: number; bytes: number }>();
  for (const { record, startMs, endMs } of spans) {
    const { kernel, label } = record.pipeline;
    const durationMs = Math.max(0, endMs - startMs);
    events.push({ kernel, label, startMs: startMs - origin, durationMs });
    const sum = sums.get(kernel) ?? { calls: 0, ms: 0, flops: 0, bytes: 0 };
    sums.set(kernel, sum);
    sum.calls++;
    sum.ms += durationMs;
    sum.flops += record.flops;
    sum.bytes += record.bytes;
  }
  const kernels = Array.from(sums, ([kernel, { calls, ms, flops, bytes }]): KernelProfile => {
    const perSecond = (amount: number) => (ms === 0 ? 0 : amount / ms / 1e6);
    const [gflops, gbps] = [perSecond(flops), perSecond(bytes)];
    const share = limits && { share: Math.max(gflops / limits.gflops, gbps / limits.gbps) };
    return { kernel, calls, ms, gflops, gbps, ...share };
  });
  kernels.sort((a, b) => b.ms - a.ms);
  return { kernels, totalMs: kernels.reduce((sum, { ms }) => sum + ms, 0), events };
}
