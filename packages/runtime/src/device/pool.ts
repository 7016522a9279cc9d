import { OutOfMemoryError } from "./errors.ts";

/** A reference-counted storage buffer. Its holders are tensors, views, the tape's saves and captures. */
export class DeviceBuffer {
  readonly gpu: GPUBuffer;
  readonly id: number;
  /** Size of the allocation: at least what was asked for. */
  readonly sizeBytes: number;
  /** Counts in-place writes, so that a gradient can tell whether a saved tensor is still what it was. */
  version = 0;
  /** Number of the last record that uses this buffer: see RecordList. */
  lastUse = 0;
  #references = 1;
  #pool: BufferPool;

  constructor(gpu: GPUBuffer, id: number, pool: BufferPool) {
    this.gpu = gpu;
    this.id = id;
    this.sizeBytes = gpu.size;
    this.#pool = pool;
  }

  retain(): this {
    this.#references++;
    return this;
  }

  release(): void {
    if (--this.#references === 0) this.#pool.giveBack(this);
  }

  /** Called by the pool when it hands the buffer out again. */
  revive(): this {
    this.#references = 1;
    return this;
  }

  isFrom(pool: BufferPool): boolean {
    return this.#pool === pool;
  }
}

export interface MemoryUse {
  /** Bytes held by tensors, saves and captures now. */
  inUseBytes: number;
  /** Bytes allocated on the device: in use and free for reuse. */
  allocatedBytes: number;
  peakBytes: number;
  /** Buffers created so far: constant in a steady training step. */
  buffersCreated: number;
}

/** Allocation sizes step by a quarter of a power of two: at most 25 % of a buffer is unused. */
function sizeClass(sizeBytes: number): number {
  if (sizeBytes <= 1024) return Math.max(256, Math.ceil(sizeBytes / 256) * 256);
  const quarter = 2 ** (Math.floor(Math.log2(sizeBytes)) - 2);
  return Math.ceil(sizeBytes / quarter) * quarter;
}

/** What all pools of a device share: the budget, the counters, and how to create and destroy. */
export class Memory {
  readonly use: MemoryUse = { inUseBytes: 0, allocatedBytes: 0, peakBytes: 0, buffersCreated: 0 };
  readonly budgetBytes: number;
  readonly maxBufferBytes: number;
  readonly #gpu: GPUDevice;
  readonly #onDestroy: (buffer: DeviceBuffer) => void;

  constructor(gpu: GPUDevice, budgetBytes: number, onDestroy: (buffer: DeviceBuffer) => void) {
    this.#gpu = gpu;
    this.budgetBytes = budgetBytes;
    this.maxBufferBytes = Math.min(gpu.limits.maxBufferSize, budgetBytes);
    this.#onDestroy = onDestroy;
  }

  create(sizeBytes: number, pool: BufferPool): DeviceBuffer {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const gpu = this.#gpu.createBuffer({ size: sizeBytes, usage });
    this.use.allocatedBytes += sizeBytes;
    this.use.buffersCreated++;
    return new DeviceBuffer(gpu, this.use.buffersCreated, pool);
  }

  destroy(buffer: DeviceBuffer): void {
    this.#onDestroy(buffer);
    buffer.gpu.destroy();
    this.use.allocatedBytes -= buffer.sizeBytes;
  }
}

/** Hands out buffers and takes them back for reuse. Contents are garbage: a kernel writes every element it owns. */
export class BufferPool {
  readonly memory: Memory;
  readonly #free = new Map<number, DeviceBuffer[]>();
  #heir: BufferPool | undefined;
  readonly #isIdle: (buffer: DeviceBuffer) => boolean;

  /** `isIdle` tells whether no pending record uses a buffer, so that it may be destroyed. */
  constructor(memory: Memory, isIdle: (buffer: DeviceBuffer) => boolean) {
    this.memory = memory;
    this.#isIdle = isIdle;
  }

  /** @throws {OutOfMemoryError} before anything is allocated, when the budget would be passed */
  allocate(sizeBytes: number, what: string): DeviceBuffer {
    const { use, budgetBytes, maxBufferBytes } = this.memory;
    const size = sizeClass(sizeBytes);
    const reused = this.#free.get(size)?.pop();
    if (!reused && (size > maxBufferBytes || use.allocatedBytes + size > budgetBytes)) {
      this.trim();
      if (size > maxBufferBytes || use.allocatedBytes + size > budgetBytes)
        throw new OutOfMemoryError(
          what,
          size,
          use.allocatedBytes,
          Math.min(budgetBytes, size > maxBufferBytes ? maxBufferBytes : budgetBytes),
        );
    }
    const buffer = reused?.revive() ?? this.memory.create(size, this);
    use.inUseBytes += buffer.sizeBytes;
    use.peakBytes = Math.max(use.peakBytes, use.inUseBytes);
    return buffer;
  }

  giveBack(buffer: DeviceBuffer): void {
    if (this.#heir) {
      this.#heir.giveBack(buffer);
      return;
    }
    this.memory.use.inUseBytes -= buffer.sizeBytes;
    const list = this.#free.get(buffer.sizeBytes);
    if (list) list.push(buffer);
    else this.#free.set(buffer.sizeBytes, [buffer]);
  }

  /** Ends this pool: what is free, and what comes back later, serves `heir`. */
  mergeInto(heir: BufferPool): void {
    this.#heir = heir;
    for (const [size, list] of this.#free) heir.#free.set(size, [...(heir.#free.get(size) ?? []), ...list]);
    this.#free.clear();
  }

  /** Destroys the free buffers that no pending record uses; a destroyed buffer would drop the whole batch it is in. */
  trim(): void {
    for (const [size, list] of this.#free) {
      const busy = list.filter((buffer) => !this.#isIdle(buffer));
      for (const buffer of list) if (!busy.includes(buffer)) this.memory.destroy(buffer);
      this.#free.set(size, busy);
    }
  }
}
