import { OutOfMemoryError } from "./errors.ts";

/** How elements lie in a buffer: a word each, or two to a word. */
export type Storage = "32 bit" | "f16" | "bf16";

/** A reference-counted storage buffer. Its holders are tensors, views, the tape's saves and captures. */
export class DeviceBuffer {
  readonly gpu: GPUBuffer;
  readonly id: number;
  /** Size of the allocation: at least what was asked for. */
  readonly sizeBytes: number;
  /** Counts in-place writes, so that a gradient can tell whether a saved tensor is still what it was. */
  version = 0;
  /** Set by who writes matrices in 16 bits. */
  storage: Storage = "32 bit";
  /** Number of the last record that uses this buffer, as the device counts them. */
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
    this.storage = "32 bit";
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

export interface MemoryHooks {
  /** Asked to destroy what is free before an allocation fails. */
  reclaim(): void;
  onDestroy(): void;
}

/** What all pools of a device share: the budget, the counters, and how to create and destroy. */
export class Memory {
  readonly use: MemoryUse = { inUseBytes: 0, allocatedBytes: 0, peakBytes: 0, buffersCreated: 0 };
  readonly budgetBytes: number;
  readonly #gpu: GPUDevice;
  readonly #hooks: MemoryHooks;

  constructor(gpu: GPUDevice, budgetBytes: number, hooks: MemoryHooks) {
    this.#gpu = gpu;
    this.budgetBytes = budgetBytes;
    this.#hooks = hooks;
  }

  /** @throws {OutOfMemoryError} before anything is allocated, when the budget or the largest buffer would be passed */
  create(sizeBytes: number, pool: BufferPool, what: string): DeviceBuffer {
    const { maxBufferSize } = this.#gpu.limits;
    if (sizeBytes > maxBufferSize)
      throw new OutOfMemoryError(
        `${what} needs ${mib(sizeBytes)}, but the largest buffer of this adapter has ${mib(maxBufferSize)}`,
        { requestedBytes: sizeBytes, usedBytes: this.use.allocatedBytes, budgetBytes: maxBufferSize },
      );
    const exceeds = () => this.use.allocatedBytes + sizeBytes > this.budgetBytes;
    if (exceeds()) this.#hooks.reclaim();
    if (exceeds())
      throw new OutOfMemoryError(
        `${what} needs ${mib(sizeBytes)}, but ${mib(this.use.allocatedBytes)} of the device's budget of ` +
          `${mib(this.budgetBytes)} are taken; use a smaller batch or model, or raise memoryBudgetBytes in requestDevice`,
        { requestedBytes: sizeBytes, usedBytes: this.use.allocatedBytes, budgetBytes: this.budgetBytes },
      );
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const gpu = this.#gpu.createBuffer({ label: what, size: sizeBytes, usage });
    this.use.allocatedBytes += sizeBytes;
    this.use.buffersCreated++;
    return new DeviceBuffer(gpu, this.use.buffersCreated, pool);
  }

  destroy(buffer: DeviceBuffer): void {
    buffer.gpu.destroy();
    this.use.allocatedBytes -= buffer.sizeBytes;
    this.#hooks.onDestroy();
  }
}

const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/** Allocation sizes step by a quarter of a power of two: at most 25 % of a buffer is unused. */
function sizeClass(sizeBytes: number): number {
  if (sizeBytes <= 1024) return Math.max(256, Math.ceil(sizeBytes / 256) * 256);
  const quarter = 2 ** (Math.floor(Math.log2(sizeBytes)) - 2);
  return Math.ceil(sizeBytes / quarter) * quarter;
}

/** Hands out buffers and takes them back for reuse. Contents are garbage: a kernel writes every element it owns. */
export class BufferPool {
  readonly #memory: Memory;
  /** By size, each list with the oldest buffer last. */
  readonly #free = new Map<number, DeviceBuffer[]>();
  #heir: BufferPool | undefined;

  constructor(memory: Memory) {
    this.#memory = memory;
  }

  /** @throws {OutOfMemoryError} before anything is allocated */
  allocate(sizeBytes: number, what: string): DeviceBuffer {
    const size = sizeClass(sizeBytes);
    const buffer = this.#free.get(size)?.pop()?.revive() ?? this.#memory.create(size, this, what);
    const { use } = this.#memory;
    use.inUseBytes += buffer.sizeBytes;
    use.peakBytes = Math.max(use.peakBytes, use.inUseBytes);
    return buffer;
  }

  giveBack(buffer: DeviceBuffer): void {
    if (this.#heir) {
      this.#heir.giveBack(buffer);
      return;
    }
    this.#memory.use.inUseBytes -= buffer.sizeBytes;
    this.#put(buffer);
  }

  /** Ends this pool: what is free, and what comes back later, serves `heir`. */
  mergeInto(heir: BufferPool): void {
    this.#heir = heir;
    for (const list of this.#free.values()) for (const buffer of list) heir.#put(buffer);
    this.#free.clear();
  }

  /** Destroys the free buffers that no pending record uses: a destroyed buffer would drop the whole batch it is in. */
  trim(isIdle: (buffer: DeviceBuffer) => boolean): void {
    for (const [size, list] of this.#free) {
      const busy = list.filter((buffer) => !isIdle(buffer));
      for (const buffer of list) if (isIdle(buffer)) this.#memory.destroy(buffer);
      this.#free.set(size, busy);
    }
  }

  /** In order of age, not of return: then equal steps get equal buffers, and find their bind groups. */
  #put(buffer: DeviceBuffer): void {
    const list = this.#free.get(buffer.sizeBytes) ?? [];
    const at = list.findLastIndex((other) => other.id > buffer.id);
    list.splice(at + 1, 0, buffer);
    this.#free.set(buffer.sizeBytes, list);
  }
}
