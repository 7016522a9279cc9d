import { environmentAdapter, findAdapter, memoryBudget, settle } from "#gpu";
import { ADAPTER_CHOICES, type AdapterChoice, type AdapterClass, type FoundAdapter } from "./adapter.ts";
import { Capture } from "./capture.ts";
import {
  ConfigError,
  DeviceLostError,
  DeviceValidationError,
  type MoebiusError,
  NoAdapterError,
  OutOfMemoryError,
  ShapeError,
} from "./errors.ts";
import type { Binding, Dispatch } from "./kernel.ts";
import { type KernelFeatures, PipelineCache } from "./pipelines.ts";
import { BufferPool, type DeviceBuffer, Memory } from "./pool.ts";
import { type CopyRecord, type DeviceRecord, encodeParams, submit } from "./record-list.ts";
import type { Recorder } from "./recorder.ts";

export interface DeviceOptions {
  /** Default: the environment's MOEBIUS_ADAPTER, else `auto`. */
  adapter?: AdapterChoice;
  /** Most bytes to allocate on the device. Default: nine tenths of the free memory for a software adapter. */
  memoryBudgetBytes?: number;
  /** Receives one line that says which adapter runs. Default: standard error, once a process; `false` for silence. */
  onNotice?: ((line: string) => void) | false;
}

export interface DeviceDescription {
  /** The adapter's own name. */
  adapter: string;
  adapterClass: AdapterClass;
  backend: string;
  features: string[];
  subgroupSize: number;
  limits: {
    maxBufferBytes: number;
    maxBindingBytes: number;
    maxStorageBuffers: number;
    maxInvocations: number;
    maxWorkgroupBytes: number;
  };
  memoryBudgetBytes: number;
}

/** Records after which a flush starts by itself, so that the device computes while the host still records. */
const AUTO_FLUSH_RECORDS = 128;
/** Bind groups kept for reuse; a training step needs a few hundred. */
const MAX_BIND_GROUPS = 16_384;

const LIMITS = [
  "maxStorageBufferBindingSize",
  "maxBufferSize",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxStorageBuffersPerShaderStage",
] as const;
const FEATURES = ["shader-f16", "subgroups", "timestamp-query"] as const;

let noticed = false;

/**
 * Answers with a device that computes: the browser's own, a hardware adapter through Dawn, the system's software Vulkan, or the
 * embedded software adapter, in this order.
 * @throws {NoAdapterError} naming what was tried and what the user can do
 */
export async function requestDevice(options: DeviceOptions = {}): Promise<Device> {
  const choice = options.adapter ?? environmentAdapter() ?? "auto";
  if (!isAdapterChoice(choice))
    throw new ConfigError(`adapter (or MOEBIUS_ADAPTER) is "${choice}"; expected one of ${ADAPTER_CHOICES.join(", ")}`);
  const found = await findAdapter(choice);
  if (!found.adapter)
    throw new NoAdapterError(`no WebGPU adapter (${found.tried.join("; ")}); ${found.remedy}`, found.tried);
  const { adapter } = found;
  const gpu = await adapter.requestDevice({
    label: "moebius",
    requiredFeatures: FEATURES.filter((feature) => adapter.features.has(feature)),
    requiredLimits: Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]])),
  });
  const device = new Device(gpu, found, options.memoryBudgetBytes ?? memoryBudget(found.adapterClass === "hardware"));
  const { adapter: name, adapterClass } = device.describe();
  const line = `moebius: computing on ${name} (${adapterClass})`;
  if (options.onNotice) options.onNotice(line);
  else if (options.onNotice !== false && !noticed) console.error(line);
  noticed = true;
  return device;
}

function isAdapterChoice(name: string): name is AdapterChoice {
  return (ADAPTER_CHOICES as readonly string[]).includes(name);
}

/**
 * A GPU and what is recorded for it. Ops append records; `flush` submits them; reads and long lists flush by themselves.
 * Records run in the order in which they were made, so a released buffer can serve the next op at once.
 */
export class Device implements Disposable {
  readonly gpu: GPUDevice;
  readonly pipelines: PipelineCache;
  readonly memory: Memory;
  readonly adapterClass: AdapterClass;
  readonly subgroupSize: number;
  readonly #info: GPUAdapterInfo;
  readonly #gently: boolean;
  #pool: BufferPool;
  #records: DeviceRecord[] = [];
  #recorded = 0;
  #submitted = 0;
  #tail: Promise<void> = Promise.resolve();
  #pendingFlush: Promise<void> | undefined;
  #failure: MoebiusError | undefined;
  #disposed = false;
  #groups = new Map<string, GPUBindGroup>();
  #recorder: Recorder | undefined;
  #observer: ((records: readonly DeviceRecord[]) => void) | undefined;
  #afterSubmission: { readonly recorded: number; readonly task: () => void }[] = [];
  /** Host time spent encoding and number of dispatches so far. */
  readonly counters = { dispatches: 0, encodeMs: 0, reads: 0 };

  constructor(gpu: GPUDevice, found: FoundAdapter, memoryBudgetBytes: number) {
    this.gpu = gpu;
    this.#info = found.adapter.info;
    this.adapterClass = found.adapterClass;
    this.#gently = found.adapterClass !== "hardware";
    const features: KernelFeatures = {
      // Dawn offers subgroups with sizes that vary; the kernels need one known size.
      subgroups: gpu.features.has("subgroups") && this.#info.subgroupMinSize === this.#info.subgroupMaxSize,
      f16: gpu.features.has("shader-f16"),
      immediates: found.languageFeatures.has("immediate_address_space"),
    };
    this.subgroupSize = features.subgroups ? (this.#info.subgroupMaxSize ?? 0) : 0;
    this.pipelines = new PipelineCache(gpu, features);
    this.memory = new Memory(gpu, memoryBudgetBytes, (buffer) => this.#forget(buffer));
    this.#pool = this.newPool();
    gpu.addEventListener("uncapturederror", (event) => {
      event.preventDefault(); // Dawn would print it
      this.#fail(
        event.error instanceof GPUOutOfMemoryError
          ? new OutOfMemoryError(
              event.error.message || "a buffer",
              0,
              this.memory.use.allocatedBytes,
              memoryBudgetBytes,
            )
          : new DeviceValidationError(event.error.message),
      );
    });
    void gpu.lost.then((info) => {
      if (!this.#disposed)
        this.#fail(
          new DeviceLostError(
            `the GPU device was lost (${info.reason || "unknown"}): ${info.message || "no message"}; request a new one`,
          ),
        );
    });
  }

  /** What computes: name, class, limits, features. */
  describe(): DeviceDescription {
    const { limits, features } = this.gpu;
    return {
      adapter: this.#info.description || this.#info.device || this.#info.vendor,
      adapterClass: this.adapterClass,
      backend: this.#info.architecture,
      features: [...features].sort(),
      subgroupSize: this.subgroupSize,
      limits: {
        maxBufferBytes: limits.maxBufferSize,
        maxBindingBytes: limits.maxStorageBufferBindingSize,
        maxStorageBuffers: limits.maxStorageBuffersPerShaderStage,
        maxInvocations: limits.maxComputeInvocationsPerWorkgroup,
        maxWorkgroupBytes: limits.maxComputeWorkgroupStorageSize,
      },
      memoryBudgetBytes: this.memory.budgetBytes,
    };
  }

  /** A pool of its own, as a capture needs it. */
  newPool(): BufferPool {
    return new BufferPool(this.memory, (buffer) => buffer.lastUse <= this.#submitted);
  }

  /** Ends a pool made by `newPool`: its buffers serve the device from now on. */
  endPool(pool: BufferPool): void {
    pool.mergeInto(this.#pool);
  }

  allocate(sizeBytes: number, what: string): DeviceBuffer {
    this.#throwIfUnusable();
    return this.#pool.allocate(sizeBytes, what);
  }

  /** Destroys free buffers that nothing pending uses. */
  trim(): void {
    this.#pool.trim();
    this.gpu.queue.submit([]); // Dawn frees destroyed buffers at the next submission
  }

  /** Appends a dispatch. Never blocks; missing pipelines start to compile. */
  dispatch(request: Dispatch): void {
    this.#throwIfUnusable();
    const { kernel, defines, bindings, params, grid, flops = 0, bytes = 0 } = request;
    const [x, y = 1, z = 1] = grid;
    if (x === 0 || y === 0 || z === 0) return;
    if (x > 65_535 || y > 65_535 || z > 65_535)
      throw new ShapeError(
        `kernel ${kernel.name}: a grid of ${x} x ${y} x ${z} workgroups passes WebGPU's 65535 in one dimension`,
      );
    const pipeline = this.pipelines.get(kernel, defines);
    this.#append(
      {
        kind: "dispatch",
        pipeline,
        group: this.#bindGroup(pipeline.layout, pipeline.layoutKey, bindings, kernel.name),
        params: pipeline.paramBytes > 0 ? encodeParams(pipeline.fields, pipeline.paramBytes, params ?? {}) : undefined,
        x,
        y,
        z,
        flops,
        bytes,
      },
      bindings.map((binding) => binding.buffer),
    );
  }

  /** Appends a copy between buffers; sizes and offsets are multiples of 4. */
  copy(source: Binding, target: Binding): void {
    this.#throwIfUnusable();
    const sizeBytes = Math.ceil(source.sizeBytes / 4) * 4;
    const record: CopyRecord = {
      kind: "copy",
      source: source.buffer.gpu,
      sourceOffset: source.offsetBytes,
      target: target.buffer.gpu,
      targetOffset: target.offsetBytes,
      sizeBytes,
    };
    this.#append(record, [source.buffer, target.buffer]);
  }

  /** Writes host data. Goes straight to the queue when no pending record uses the buffer, else through a staging copy. */
  upload(target: DeviceBuffer, offsetBytes: number, data: ArrayBufferView<ArrayBuffer>): void {
    this.#throwIfUnusable();
    if (data.byteLength === 0) return;
    const size = Math.ceil(data.byteLength / 4) * 4;
    let bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    if (size !== data.byteLength) {
      const padded = new Uint8Array(size);
      padded.set(bytes);
      bytes = padded;
    }
    if (target.lastUse <= this.#submitted && !this.#recorder) {
      this.gpu.queue.writeBuffer(target.gpu, offsetBytes, bytes);
      return;
    }
    const staging = this.gpu.createBuffer({
      label: "upload",
      size,
      usage: GPUBufferUsage.COPY_SRC,
      mappedAtCreation: true,
    });
    new Uint8Array(staging.getMappedRange()).set(bytes);
    staging.unmap();
    this.#append(
      {
        kind: "copy",
        source: staging,
        sourceOffset: 0,
        target: target.gpu,
        targetOffset: offsetBytes,
        sizeBytes: size,
      },
      [target],
    );
    this.#afterSubmit(() => staging.destroy());
  }

  /** Reads bytes back. The copy is recorded now, so what happens to the buffer afterwards does not matter. */
  async read(source: DeviceBuffer, offsetBytes: number, sizeBytes: number): Promise<ArrayBuffer> {
    this.#throwIfUnusable();
    if (this.#recorder) throw new DeviceValidationError("a capture cannot read results back; read them after replay");
    const size = Math.max(4, Math.ceil(sizeBytes / 4) * 4);
    this.counters.reads++;
    const staging = this.gpu.createBuffer({
      label: "read",
      size,
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
    this.#append(
      {
        kind: "copy",
        source: source.gpu,
        sourceOffset: offsetBytes,
        target: staging,
        targetOffset: 0,
        sizeBytes: size,
      },
      [source],
    );
    try {
      await this.flush();
      await settle(staging.mapAsync(GPUMapMode.READ), this.#gently).catch((error: Error) =>
        this.#throwFailureOr(error),
      );
      this.#throwIfUnusable();
      return staging.getMappedRange().slice(0, sizeBytes);
    } finally {
      staging.destroy();
    }
  }

  /** Submits what is recorded once its pipelines are compiled. @throws the first error of any earlier work */
  flush(): Promise<void> {
    if (this.#recorder) throw new DeviceValidationError("a capture cannot flush");
    if (this.#records.length > 0) {
      const records = this.#records;
      this.#records = [];
      const last = this.#recorded;
      const missing = [
        ...new Set(records.map((record) => (record.kind === "dispatch" ? record.pipeline : undefined))),
      ].filter((pipeline) => pipeline !== undefined && pipeline.compiled === undefined);
      if (missing.length === 0 && this.#pendingFlush === undefined) this.#submit(records, last);
      else {
        const flushed = this.#tail
          .then(() => Promise.all(missing.map((pipeline) => pipeline?.ready)))
          .then(() => this.#submit(records, last))
          .catch((error: MoebiusError) => this.#fail(error))
          .finally(() => {
            if (this.#pendingFlush === flushed) this.#pendingFlush = undefined;
          });
        this.#tail = this.#pendingFlush = flushed;
      }
    }
    return this.#tail.then(() => this.#throwIfUnusable());
  }

  /** Resolves when the device has done all that was recorded. */
  async finish(): Promise<void> {
    await this.flush();
    await settle(this.gpu.queue.onSubmittedWorkDone(), this.#gently);
    this.#throwIfUnusable();
  }

  /** Records `fn` without running it; the capture replays it. See Capture. */
  capture<T>(fn: () => T): Capture<T> {
    return new Capture(this, fn);
  }

  /** Sends the records of `fn` to `recorder` instead of the list, with allocations from `pool`. For captures and profiles. */
  divert<T>(recorder: Recorder, pool: BufferPool, fn: () => T): T {
    if (this.#recorder) throw new DeviceValidationError("captures do not nest");
    const outer = this.#pool;
    this.#recorder = recorder;
    this.#pool = pool;
    try {
      return fn();
    } finally {
      this.#recorder = undefined;
      this.#pool = outer;
    }
  }

  /** Appends records that were made before. */
  append(records: readonly DeviceRecord[], buffers: readonly DeviceBuffer[]): void {
    this.#throwIfUnusable();
    this.#recorded += records.length;
    for (const buffer of buffers) buffer.lastUse = this.#recorded;
    for (const record of records) this.#records.push(record);
  }

  /** Has `observer` submit each batch of records in the device's place, until it is set to undefined. For profiles. */
  observe(observer: ((records: readonly DeviceRecord[]) => void) | undefined): void {
    this.#observer = observer;
  }

  /** Waits gently for a promise of the GPU's. */
  settle<T>(promise: Promise<T>): Promise<T> {
    return settle(promise, this.#gently);
  }

  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#groups.clear();
    // destroy() would block until submitted work is done, or for ever if it never is.
    void this.gpu.queue.onSubmittedWorkDone().then(() => this.gpu.destroy());
  }

  #append(record: DeviceRecord, buffers: readonly DeviceBuffer[]): void {
    if (this.#recorder) {
      this.#recorder.add(record, buffers);
      return;
    }
    this.#records.push(record);
    this.#recorded++;
    for (const buffer of buffers) buffer.lastUse = this.#recorded;
    if (this.#records.length >= AUTO_FLUSH_RECORDS) this.flush().catch(() => {}); // kept in #failure
  }

  #submit(records: readonly DeviceRecord[], last: number): void {
    if (this.#failure) return;
    const start = performance.now();
    if (this.#observer) this.#observer(records);
    else submit(this.gpu, this.pipelines.uniformLayout, records);
    this.counters.encodeMs += performance.now() - start;
    this.counters.dispatches += records.length;
    this.#submitted = last;
    for (const waiting of this.#afterSubmission.splice(0))
      if (waiting.recorded <= last) waiting.task();
      else this.#afterSubmission.push(waiting);
  }

  /** Runs `task` once all that is recorded now has been submitted. */
  #afterSubmit(task: () => void): void {
    this.#afterSubmission.push({ recorded: this.#recorded, task });
  }

  #bindGroup(
    layout: GPUBindGroupLayout,
    layoutKey: string,
    bindings: readonly Binding[],
    kernel: string,
  ): GPUBindGroup {
    let key = layoutKey;
    for (const { buffer, offsetBytes, sizeBytes } of bindings) key += `|${buffer.id},${offsetBytes},${sizeBytes}`;
    let group = this.#groups.get(key);
    if (group) return group;
    const limit = this.gpu.limits.maxStorageBufferBindingSize;
    for (const [i, { sizeBytes }] of bindings.entries())
      if (sizeBytes > limit)
        throw new ShapeError(
          `kernel ${kernel}: operand ${i} has ${sizeBytes} bytes, more than the ${limit} that this adapter binds at once`,
        );
    if (this.#groups.size >= MAX_BIND_GROUPS) this.#groups.clear();
    group = this.gpu.createBindGroup({
      label: kernel,
      layout,
      entries: bindings.map(({ buffer, offsetBytes, sizeBytes }, binding) => ({
        binding,
        resource: { buffer: buffer.gpu, offset: offsetBytes, size: Math.max(16, Math.ceil(sizeBytes / 16) * 16) },
      })),
    });
    this.#groups.set(key, group);
    return group;
  }

  #forget(buffer: DeviceBuffer): void {
    const id = `|${buffer.id},`;
    for (const key of this.#groups.keys()) if (key.includes(id)) this.#groups.delete(key);
  }

  #fail(error: MoebiusError): void {
    this.#failure ??= error; // the first one is the cause; the others follow from it
  }

  #throwFailureOr(error: Error): never {
    throw this.#failure ?? new DeviceLostError(`reading back failed: ${error.message || "the device was lost"}`);
  }

  #throwIfUnusable(): void {
    if (this.#disposed) throw new DeviceLostError("this device was disposed");
    if (!this.#failure) return;
    const failure = this.#failure;
    // Reported once; the work after it was dropped, and new work may go on unless the device is gone.
    if (!(failure instanceof DeviceLostError)) this.#failure = undefined;
    throw failure;
  }
}
