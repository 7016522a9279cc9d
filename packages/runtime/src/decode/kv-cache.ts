import type { Device } from "../device/device.ts";
import { ValueError } from "../device/errors.ts";
import { kvAppend } from "../kernels/kv-append.ts";
import { keep } from "../tensor/scope.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";

type F32 = Tensor<"f32">;

export interface KvCacheOptions {
  numLayers: number;
  batchSize: number;
  /** Positions it has room for. */
  capacity: number;
  numKeyValueHeads: number;
  headDim: number;
}

/** One layer of a KvCache: [B, capacity, A', D] keys and values. */
export class LayerCache implements Disposable {
  readonly #k: F32;
  readonly #v: F32;
  length = 0;

  constructor(k: F32, v: F32) {
    this.#k = keep(k);
    this.#v = keep(v);
  }

  /**
   * Appends the keys and values of new positions, in place.
   * @param k [B, T, A', D]
   * @returns all keys and values, with room to spare behind `length`; they belong to the cache
   * @throws {ValueError} when there is no room left
   */
  append(k: F32, v: F32): { k: F32; v: F32; length: number } {
    const capacity = this.#k.axis(1);
    const length = this.length + k.axis(1);
    if (length > capacity) throw new ValueError(`KvCache: ${this.length} + ${k.axis(1)} positions pass the capacity of ${capacity}; make the cache larger or shorten the context`);
    kvAppend(k, this.#k, this.length);
    kvAppend(v, this.#v, this.length);
    this.length = length;
    return { k: this.#k, v: this.#v, length };
  }

  [Symbol.dispose](): void {
    this.#k.dispose();
    this.#v.dispose();
  }
}

/** Keys and values of the positions that a decoder has seen, layer by layer: [B, capacity, A', D] each, allocated once. */
export class KvCache implements Disposable {
  readonly capacity: number;
  readonly #layers: LayerCache[];

  constructor(device: Device, { numLayers, batchSize, capacity, numKeyValueHeads, headDim }: KvCacheOptions) {
    this.capacity = capacity;
    const room = () => empty(device, [batchSize, capacity, numKeyValueHeads, headDim], "f32");
    this.#layers = Array.from({ length: numLayers }, () => new LayerCache(room(), room()));
  }

  /** What the attention of one layer appends to. @throws {ValueError} for a layer that does not exist */
  layer(index: number): LayerCache {
    const layer = this.#layers[index];
    if (!layer) throw new ValueError(`KvCache: layer ${index} does not exist; there are ${this.#layers.length}`);
    return layer;
  }

  /** Forgets all positions from `length` on. */
  truncate(length: number): void {
    for (const layer of this.#layers) layer.length = Math.min(layer.length, length);
  }

  [Symbol.dispose](): void {
    for (const layer of this.#layers) layer[Symbol.dispose]();
  }
}
