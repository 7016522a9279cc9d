import { settle } from "#gpu";
import type { AdapterClass, FoundAdapter } from "./adapter.ts";
import { BindGroups } from "./bind-groups.ts";
import { Capture } from "./capture.ts";
import { type DeviceDescription, describeDevice } from "./describe.ts";
import { DeviceLostError, DeviceValidationError, MoebiusError, OutOfMemoryError, ShapeError } from "./errors.ts";
import { handled } from "./handled.ts";
import type { Binding, Dispatch } from "./kernel.ts";
import { type KernelFeatures, type Pipeline, PipelineCache } from "./pipelines.ts";
import { BufferPool, type DeviceBuffer, Memory } from "./pool.ts";
import { type DeviceRecord, encodeParams, submit } from "./record-list.ts";
import type { Recorder } from "./recorder.ts";
import { builtInTuning, type Tuning } from "./tuning.ts";

/** Submits a batch in the device's place; the batch counts as submitted once the promise resolves. */
export type Observer = (records: readonly DeviceRecord[]) => Promise<void>;

/** Records after which a flush starts by itself, so that the device computes while the host still records. */
const AUTO_FLUSH_RECORDS = 128;
/** Dawn keeps the memory of direct writes until the next submission. */
const MAX_UNSUBMITTED_WRITE_BYTES = 32 * 2 ** 20;

/**
 * A GPU and what is recorded for it. Ops append records; `flush` submits them; reads and long lists flush by themselves.
 * Records run in the order in which they were made, so a released buffer can serve the next op at once.
 *
 * An error of the GPU's rejects all that is awaited when it comes; if nothing is, the next call throws it. When a shader does not
 * compile, the dispatches of its batch and those recorded behind it are dropped. New work goes on, unless the device is lost.
 */
export class Device implements Disposable {
  readonly gpu: GPUDevice;
  readonly pipelines: PipelineCache;
  readonly memory: Memory;
  readonly adapterClass: AdapterClass;
  readonly subgroupSize: number;
  /** Which of several kernels to take; setting it affects what is recorded from then on. */
  tuning: Tuning;
  /** So far: dispatches submitted, read-backs, and the host's time in recording (only while observed) and encoding. */
  readonly counters = { dispatches: 0, reads: 0, recordMs: 0, encodeMs: 0 };
  readonly #info: GPUAdapterInfo;
  readonly #features: KernelFeatures;
  readonly #gently: boolean;
  readonly #mainPool: BufferPool;
  #pool: BufferPool;
  readonly #groups: BindGroups;
  #records: DeviceRecord[] = [];
  #recorded = 0;
  #submitted = 0;
  #unsubmittedWriteBytes = 0;
  /** Resolves when the last batch that had to wait was submitted. */
  #tail: Promise<void> = Promise.resolve();
  #waitingBatches = 0;
  /** The first error that nobody was told yet. */
  #failure: MoebiusError | undefined;
  /** The last error: it concerns all that was awaited when it came. */
  #lastError: MoebiusError | undefined;
  #numErrors = 0;
  /** Dispatches up to this record follow one that did not compile. */
  #dropUntil = 0;
  #disposed = false;
  #recorder: Recorder | undefined;
  #observer: Observer | undefined;
  #doomed: { readonly recorded: number; readonly buffer: GPUBuffer }[] = [];

  constructor(gpu: GPUDevice, found: FoundAdapter, memoryBudgetBytes: number) {
    this.gpu = gpu;
    this.#info = found.adapter.info;
    this.adapterClass = found.adapterClass;
    this.#gently = found.adapterClass !== "hardware";
    this.#features = {
      // Dawn offers subgroups with sizes that vary; the kernels need one known size.
      subgroups: gpu.features.has("subgroups") && this.#info.subgroupMinSize === this.#info.subgroupMaxSize,
      f16: gpu.features.has("shader-f16"),
      immediates: found.languageFeatures.has("immediate_address_space"),
    };
    this.subgroupSize = this.#features.subgroups ? (this.#info.subgroupMaxSize ?? 0) : 0;
    this.tuning = builtInTuning(this.adapterClass, this.subgroupSize);
    this.pipelines = new PipelineCache(gpu, this.#features);
    this.#groups = new BindGroups(gpu);
    this.memory = new Memory(gpu, memoryBudgetBytes, {
      reclaim: () => this.trim(),
      onDestroy: () => this.#groups.clear(),
    });
    this.#pool = this.#mainPool = this.newPool();
    gpu.addEventListener("uncapturederror", (event) => {
      event.preventDefault(); // Dawn would print it
      this.#raise(event.error);
    });
    void gpu.lost.then(({ reason, message }) => {
      if (this.#disposed) return;
      const why = `${reason || "unknown"}: ${message || "no message"}`;
      this.#raise(new DeviceLostError(`the GPU device was lost (${why}); request a new one`));
    });
  }

  /** What computes: name, class, limits, features. */
  describe(): DeviceDescription {
    const { gpu, adapterClass, memory } = this;
    return describeDevice(gpu, this.#info, { adapterClass, ...this.#features, memoryBudgetBytes: memory.budgetBytes });
  }

  /** Bind groups that are kept for reuse: constant in a steady step. */
  get numBindGroups(): number {
    return this.#groups.size;
  }

  /** A pool of its own, as a capture needs it. */
  newPool(): BufferPool {
    return new BufferPool(this.memory);
  }

  /** Ends a pool made by `newPool`: its buffers serve the device from now on. */
  endPool(pool: BufferPool): void {
    pool.mergeInto(this.#mainPool);
  }

  /** @throws {OutOfMemoryError} before anything is allocated */
  allocate(sizeBytes: number, what: string): DeviceBuffer {
    this.#throwIfUnusable();
    return this.#pool.allocate(sizeBytes, what);
  }

  /** Destroys free buffers that nothing pending uses; not those of captures, which free buffers belong to as well. */
  trim(): void {
    this.#mainPool.trim((buffer) => buffer.lastUse <= this.#submitted);
    this.gpu.queue.submit([]); // Dawn frees destroyed buffers at the next submission
  }

  /** Appends a dispatch. Never blocks; missing pipelines start to compile. */
  dispatch(request: Dispatch): void {
    this.#throwIfUnusable();
    const start = this.#observer ? performance.now() : 0;
    const { kernel, defines, bindings, params, grid, flops = 0, bytes = 0, weightBytes = 0 } = request;
    const [x, y = 1, z = 1] = grid;
    if (x === 0 || y === 0 || z === 0) return;
    for (const n of [x, y, z])
      if (!(Number.isInteger(n) && n > 0 && n <= 65_535))
        throw new ShapeError(
          `kernel ${kernel.name}: a grid of ${x} x ${y} x ${z} workgroups; WebGPU takes 1 to 65535 in each dimension`,
        );
    const pipeline = this.pipelines.get(kernel, defines);
    const { fields, paramBytes } = pipeline;
    const group = this.#groups.get(pipeline, bindings, kernel.name);
    const values = paramBytes > 0 ? encodeParams(kernel.name, fields, paramBytes, params ?? {}) : undefined;
    this.#append(
      { kind: "dispatch", pipeline, group, params: values, x, y, z, flops, bytes, weightBytes },
      bindings.map((binding) => binding.buffer),
    );
    if (this.#observer) this.counters.recordMs += performance.now() - start;
  }

  /** Appends a copy between two buffers; sizes and offsets are multiples of 4. */
  copy(source: Binding, target: Binding): void {
    this.#throwIfUnusable();
    this.#appendCopy(source.buffer.gpu, source.offsetBytes, target.buffer.gpu, target.offsetBytes, source.sizeBytes, [
      source.buffer,
      target.buffer,
    ]);
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
      this.#unsubmittedWriteBytes += size;
      if (this.#unsubmittedWriteBytes > MAX_UNSUBMITTED_WRITE_BYTES) {
        this.gpu.queue.submit([]);
        this.#unsubmittedWriteBytes = 0;
      }
      return;
    }
    const usage = GPUBufferUsage.COPY_SRC;
    const staging = this.gpu.createBuffer({ label: "upload", size, usage, mappedAtCreation: true });
    new Uint8Array(staging.getMappedRange()).set(bytes);
    staging.unmap();
    this.#appendCopy(staging, 0, target.gpu, offsetBytes, size, [target]);
    if (this.#recorder) this.#recorder.own(staging);
    else this.destroyLater(staging);
  }

  /** Reads bytes back. The copy is recorded now, so what happens to the buffer afterwards does not matter. */
  read(source: DeviceBuffer, offsetBytes: number, sizeBytes: number): Promise<ArrayBuffer> {
    return handled(this.#read(source, offsetBytes, sizeBytes));
  }

  async #read(source: DeviceBuffer, offsetBytes: number, sizeBytes: number): Promise<ArrayBuffer> {
    this.#throwIfUnusable();
    if (this.#recorder) throw new DeviceValidationError("a capture cannot read results back; read them after replay");
    const errorsBefore = this.#numErrors;
    const size = Math.max(4, Math.ceil(sizeBytes / 4) * 4);
    this.counters.reads++;
    const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
    const staging = this.gpu.createBuffer({ label: "read", size, usage });
    this.#appendCopy(source.gpu, offsetBytes, staging, 0, size, [source]);
    try {
      await this.flush();
      const problem = await settle(staging.mapAsync(GPUMapMode.READ), this.#gently).catch((error: Error) => error);
      this.#throwIfFailed(errorsBefore);
      if (problem) throw new DeviceLostError(`reading back failed: ${problem.message || "the device was lost"}`);
      return staging.getMappedRange().slice(0, sizeBytes);
    } finally {
      staging.destroy();
    }
  }

  /** Submits what is recorded once its pipelines are compiled. @throws the first error of any earlier work */
  flush(): Promise<void> {
    if (this.#recorder) throw new DeviceValidationError("a capture cannot flush");
    const errorsBefore = this.#numErrors;
    this.#startFlush();
    return handled(this.#tail.then(() => this.#throwIfFailed(errorsBefore)));
  }

  /** Resolves when the device has done all that was recorded. */
  finish(): Promise<void> {
    const errorsBefore = this.#numErrors;
    const done = async () => {
      await this.flush();
      await settle(this.gpu.queue.onSubmittedWorkDone(), this.#gently);
      this.#throwIfFailed(errorsBefore);
    };
    return handled(done());
  }

  /** Records `fn` without running it; the capture replays it. See Capture. */
  capture<T>(fn: () => T): Capture<T> {
    return new Capture(this, fn);
  }

  /** Sends the records of `fn` to `recorder` instead of the list, with allocations from `pool`. For captures. */
  divert<T>(recorder: Recorder, pool: BufferPool, fn: () => T): T {
    if (this.#recorder) throw new DeviceValidationError("captures do not nest");
    this.#recorder = recorder;
    this.#pool = pool;
    try {
      return fn();
    } finally {
      this.#recorder = undefined;
      this.#pool = this.#mainPool;
    }
  }

  /** Appends records that were made before. */
  append(records: readonly DeviceRecord[], buffers: Iterable<DeviceBuffer>): void {
    this.#throwIfUnusable();
    if (this.#recorder) throw new DeviceValidationError("a capture cannot be replayed inside another");
    this.#recorded += records.length;
    for (const buffer of buffers) buffer.lastUse = this.#recorded;
    for (const record of records) this.#records.push(record);
    this.#flushLongList();
  }

  /** Has `observer` submit each batch of records in the device's place, until it is set to undefined. For profiles. */
  observe(observer: Observer | undefined): void {
    this.#observer = observer;
  }

  /** Waits gently for a promise of the GPU's. */
  settle<T>(promise: Promise<T>): Promise<T> {
    return settle(promise, this.#gently);
  }

  /** Destroys a buffer once all that is recorded now has been submitted. */
  destroyLater(buffer: GPUBuffer): void {
    if (this.#recorded <= this.#submitted) buffer.destroy();
    else this.#doomed.push({ recorded: this.#recorded, buffer });
  }

  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#groups.clear();
    // destroy() would block until submitted work is done, or for ever if it never is.
    const destroy = () => this.gpu.destroy();
    void this.gpu.queue.onSubmittedWorkDone().then(destroy, destroy);
  }

  #appendCopy(
    source: GPUBuffer,
    sourceOffset: number,
    target: GPUBuffer,
    targetOffset: number,
    bytes: number,
    buffers: readonly DeviceBuffer[],
  ): void {
    const sizeBytes = Math.ceil(bytes / 4) * 4;
    this.#append({ kind: "copy", source, sourceOffset, target, targetOffset, sizeBytes }, buffers);
  }

  #append(record: DeviceRecord, buffers: readonly DeviceBuffer[]): void {
    if (this.#recorder) {
      this.#recorder.add(record, buffers);
      return;
    }
    this.#records.push(record);
    this.#recorded++;
    for (const buffer of buffers) buffer.lastUse = this.#recorded;
    this.#flushLongList();
  }

  #flushLongList(): void {
    if (this.#records.length >= AUTO_FLUSH_RECORDS) this.#startFlush();
  }

  #startFlush(): void {
    if (this.#records.length === 0) return;
    const records = this.#records;
    this.#records = [];
    const last = this.#recorded;
    const missing = new Set<Pipeline>();
    for (const record of records)
      if (record.kind === "dispatch" && !record.pipeline.compiled) missing.add(record.pipeline);
    if (missing.size === 0 && this.#waitingBatches === 0 && !this.#observer) {
      this.#encode(records);
      this.#markSubmitted(last);
    } else {
      this.#waitingBatches++;
      this.#tail = this.#tail
        .then(() => this.#submitWhenReady(records, last, missing))
        .then(() => void this.#waitingBatches--);
    }
  }

  /** Never rejects. */
  async #submitWhenReady(records: readonly DeviceRecord[], last: number, missing: Iterable<Pipeline>): Promise<void> {
    const outcomes = await Promise.allSettled(Array.from(missing, (pipeline) => pipeline.ready));
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (failed) {
      this.#raise(failed.reason);
      this.#dropUntil = this.#recorded;
      this.#startFlush(); // ends the batch there
    }
    if (this.#disposed) return;
    // Copies go on: they bring host data, which nothing else would bring again.
    const runnable = last <= this.#dropUntil ? records.filter((record) => record.kind === "copy") : records;
    if (this.#observer) await this.#observer(runnable).catch((error: unknown) => this.#raise(error));
    else this.#encode(runnable);
    this.#markSubmitted(last);
  }

  #encode(records: readonly DeviceRecord[]): void {
    const start = performance.now();
    try {
      this.counters.dispatches += submit(this.gpu, this.pipelines.uniformLayout, records);
    } catch (error) {
      this.#raise(error);
    }
    this.counters.encodeMs += performance.now() - start;
  }

  #markSubmitted(last: number): void {
    this.#submitted = last;
    this.#unsubmittedWriteBytes = 0;
    this.#doomed = this.#doomed.filter(({ recorded, buffer }) => {
      if (recorded <= last) buffer.destroy();
      return recorded > last;
    });
  }

  #typed(error: unknown): MoebiusError {
    if (error instanceof MoebiusError) return error;
    const { message } = error as { message: string };
    if (!(error instanceof GPUOutOfMemoryError)) return new DeviceValidationError(message);
    const { use, budgetBytes } = this.memory;
    return new OutOfMemoryError(
      `the device is out of memory: ${message || "no message"}; use a smaller batch or model`,
      { requestedBytes: 0, usedBytes: use.allocatedBytes, budgetBytes },
    );
  }

  #raise(error: unknown): void {
    this.#lastError = this.#typed(error);
    this.#numErrors++;
    this.#failure ??= this.#lastError; // the first one is the cause; the others follow from it
  }

  /** Throws what came since `errorsBefore` was noted, and what nobody was told yet. */
  #throwIfFailed(errorsBefore: number): void {
    this.#throwIfUnusable();
    if (this.#numErrors > errorsBefore) throw this.#lastError;
  }

  #throwIfUnusable(): void {
    if (this.#disposed) throw new DeviceLostError("this device was disposed");
    const failure = this.#failure;
    if (!(failure instanceof DeviceLostError)) this.#failure = undefined;
    if (failure) throw failure;
  }
}
