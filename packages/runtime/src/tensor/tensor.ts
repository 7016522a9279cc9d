import type { Device } from "../device/device.ts";
import { LifetimeError, ShapeError, ValueError } from "../device/errors.ts";
import { handled } from "../device/handled.ts";
import type { Binding } from "../device/kernel.ts";
import type { DeviceBuffer, Storage } from "../device/pool.ts";
import { type DType, dtypeOf, type HostArray, type HostArrays, hostArray } from "./dtype.ts";
import { toBfloat16, toFloat16, widenBfloat16, widenFloat16 } from "./halves.ts";
import { adopt } from "./scope.ts";
import { expectShape, formatShape, type Shape, sizeOf } from "./shape.ts";

let created = 0;

/**
 * A handle on row-major elements in a device buffer. Handles are cheap; buffers are counted by their handles and go back to the
 * pool with the last one. Ops never change their inputs.
 */
export class Tensor<T extends DType = DType> implements Disposable {
  readonly id: number = ++created;
  readonly device: Device;
  readonly shape: Shape;
  readonly dtype: T;
  /** First element of this tensor in its buffer. */
  readonly offset: number;
  #buffer: DeviceBuffer;
  #disposed = false;

  /** Takes over one reference of `buffer`. */
  constructor(device: Device, shape: Shape, dtype: T, buffer: DeviceBuffer, offset = 0) {
    this.device = device;
    this.shape = shape;
    this.dtype = dtype;
    this.offset = offset;
    this.#buffer = buffer;
    adopt(this);
  }

  get rank(): number {
    return this.shape.length;
  }

  /** Number of elements. */
  get size(): number {
    return sizeOf(this.shape);
  }

  get sizeBytes(): number {
    return 4 * (this.storage === "32 bit" ? this.size : Math.ceil(this.size / 2));
  }

  /** How the elements lie in memory: in 16 bits only those of matrices that a module stores so. */
  get storage(): Storage {
    return this.buffer.storage;
  }

  get isDisposed(): boolean {
    return this.#disposed;
  }

  /** @throws {LifetimeError} after dispose */
  get buffer(): DeviceBuffer {
    if (this.#disposed)
      throw new LifetimeError(`a tensor of shape ${formatShape(this.shape)} was used after it was disposed`);
    return this.#buffer;
  }

  get version(): number {
    return this.buffer.version;
  }

  get #offsetBytes(): number {
    return (this.storage === "32 bit" ? 4 : 2) * this.offset;
  }

  /** Length of an axis; negative axes count from the end. */
  axis(index: number): number {
    return this.shape.at(index) ?? 1;
  }

  /**
   * How a kernel binds this tensor: views at odd offsets are copied first, since bindings start at multiples of 256 bytes.
   * @throws {ShapeError} for a matrix in 16 bits, which only products read
   */
  binding(): Binding {
    const { storage } = this;
    if (storage !== "32 bit")
      throw new ShapeError(
        `a matrix of shape ${formatShape(this.shape)} is stored as ${storage}: it can only be multiplied with`,
      );
    return this.bindingAsStored();
  }

  /** binding, for a kernel that knows about `storage`. */
  bindingAsStored(): Binding {
    const offsetBytes = this.#offsetBytes;
    if (offsetBytes % 256 === 0) return { buffer: this.buffer, offsetBytes, sizeBytes: this.sizeBytes };
    const copy = this.device.allocate(this.sizeBytes, "an aligned copy of a view");
    this.device.copy(
      { buffer: this.buffer, offsetBytes, sizeBytes: this.sizeBytes },
      { buffer: copy, offsetBytes: 0, sizeBytes: this.sizeBytes },
    );
    copy.release(); // stays intact until this list has run: records keep their order
    return { buffer: copy, offsetBytes: 0, sizeBytes: this.sizeBytes };
  }

  /** Binding for a kernel that changes this tensor in place. @throws {ShapeError} for a view that would have to be copied */
  bindingInPlace(): Binding {
    if ((4 * this.offset) % 256 !== 0)
      throw new ShapeError("an in-place kernel needs a tensor that starts at a multiple of 64 elements");
    this.buffer.version++;
    return this.binding();
  }

  /** Overwrites the elements with host data of the same dtype and size. */
  write(data: HostArrays[T]): void {
    if (data.length !== this.size || dtypeOf(data) !== this.dtype)
      throw new ShapeError(
        `write: ${data.length} elements of ${dtypeOf(data)} for a ${this.dtype} tensor of shape ${formatShape(this.shape)}`,
      );
    const bytes = stored(data, this.storage);
    this.buffer.version++;
    this.device.upload(this.buffer, this.#offsetBytes, bytes);
  }

  /** Reads the elements back. The copy is recorded when this is called, so the tensor may be disposed right afterwards. */
  read(): Promise<HostArrays[T]> {
    return handled(this.#read());
  }

  /** Reads a tensor of one element. */
  item(): Promise<number> {
    return handled(this.#item());
  }

  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#buffer.release();
  }

  dispose(): void {
    this[Symbol.dispose]();
  }

  async #read(): Promise<HostArrays[T]> {
    if (this.size === 0) return hostArray(this.dtype, new ArrayBuffer(0));
    const { dtype, storage, size } = this;
    const bytes = await this.device.read(this.buffer, this.#offsetBytes, this.sizeBytes);
    if (storage === "32 bit") return hostArray(dtype, bytes);
    const halves = new Uint16Array(bytes, 0, size);
    return (storage === "f16" ? widenFloat16(halves) : widenBfloat16(halves)) as HostArrays[T];
  }

  /** Gives this handle a buffer of its own with the values in another form; nothing has changed when they do not fit. */
  protected replaceStorage(storage: Storage, values: HostArrays[T], what: string): void {
    const data = stored(values, storage);
    const buffer = this.device.allocate(4 * Math.ceil(data.byteLength / 4), what);
    buffer.storage = storage;
    this.device.upload(buffer, 0, data);
    this.buffer.release();
    this.#buffer = buffer;
  }

  async #item(): Promise<number> {
    if (this.size !== 1) throw new ShapeError(`item: needs one element, got shape ${formatShape(this.shape)}`);
    return (await this.read())[0] as number;
  }
}

/** @throws {ValueError} for a number that float16 cannot hold */
function stored(values: HostArray, storage: Storage): HostArray | Uint16Array<ArrayBuffer> {
  if (storage === "32 bit") return values;
  const floats = values as Float32Array<ArrayBuffer>;
  if (storage === "bf16") return toBfloat16(floats);
  const halves = toFloat16(floats);
  const lost = halves.findIndex((half, i) => (half & 0x7fff) === 0x7c00 && Number.isFinite(floats[i]));
  if (lost >= 0)
    throw new ValueError(`element ${lost} is ${floats[lost]}, beyond the range of f16 (±65504); bf16 holds it`);
  return halves;
}

/** A tensor with garbage in it, for a kernel to fill. */
export function empty<T extends DType>(device: Device, shape: Shape, dtype: T): Tensor<T> {
  return new Tensor(
    device,
    shape,
    dtype,
    device.allocate(4 * sizeOf(shape), `a ${dtype} tensor of shape ${formatShape(shape)}`),
  );
}

/** A tensor of host data; numbers become f32. @throws {ShapeError} when data and shape differ in size */
export function tensor(device: Device, data: readonly number[], shape?: Shape): Tensor<"f32">;
export function tensor(device: Device, data: Float32Array<ArrayBuffer>, shape?: Shape): Tensor<"f32">;
export function tensor(device: Device, data: Uint32Array<ArrayBuffer>, shape?: Shape): Tensor<"u32">;
export function tensor(device: Device, data: Int32Array<ArrayBuffer>, shape?: Shape): Tensor<"i32">;
export function tensor(device: Device, data: HostArray | readonly number[], shape: Shape = [data.length]): Tensor {
  const values = Array.isArray(data) ? Float32Array.from(data) : (data as HostArray);
  expectShape("tensor", "the data", [values.length], [sizeOf(shape)]);
  const made = empty(device, shape, dtypeOf(values));
  made.write(values as HostArrays[DType]);
  return made;
}
