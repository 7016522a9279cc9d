import type { Device } from "./device.ts";
import { LifetimeError } from "./errors.ts";
import type { BufferPool, DeviceBuffer } from "./pool.ts";
import type { DeviceRecord } from "./record-list.ts";

/**
 * A step with fixed shapes, recorded once. `replay` encodes the same dispatches on the same buffers again, with no shape check,
 * no allocation and no new bind group. What varies between steps is read from tensors made outside, written before each replay;
 * host data that the step itself uploads is uploaded again. A capture keeps its buffers until it is disposed; `value` is what
 * the captured function returned.
 */
export class Capture<T> implements Disposable {
  readonly value: T;
  readonly #device: Device;
  readonly #records: DeviceRecord[] = [];
  readonly #buffers = new Set<DeviceBuffer>();
  readonly #staging: GPUBuffer[] = [];
  readonly #pool: BufferPool;
  #disposed = false;

  constructor(device: Device, fn: () => T) {
    this.#device = device;
    this.#pool = device.newPool();
    const recorder = {
      add: (record: DeviceRecord, buffers: readonly DeviceBuffer[]) => {
        this.#records.push(record);
        for (const buffer of buffers) this.#use(buffer);
      },
      own: (staging: GPUBuffer) => void this.#staging.push(staging),
    };
    try {
      this.value = device.divert(recorder, this.#pool, fn);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  get numDispatches(): number {
    return this.#records.length;
  }

  /** @throws {LifetimeError} after dispose */
  replay(): void {
    if (this.#disposed) throw new LifetimeError("Capture.replay: this capture was disposed");
    this.#device.append(this.#records, this.#buffers);
  }

  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const buffer of this.#buffers) if (!buffer.isFrom(this.#pool)) buffer.release();
    for (const staging of this.#staging) this.#device.destroyLater(staging);
    this.#device.endPool(this.#pool);
  }

  /** Buffers of the capture's own pool are reused inside it and need no reference: nobody else gets them. */
  #use(buffer: DeviceBuffer): void {
    if (this.#buffers.has(buffer)) return;
    this.#buffers.add(buffer);
    if (!buffer.isFrom(this.#pool)) buffer.retain();
  }
}
