import type { Device } from "../device/device.ts";
import { ShapeError, ValueError } from "../device/errors.ts";
import { type KeysAndValues, kvAppend, kvSelect } from "../kernels/kv-append.ts";
import { keep } from "../tensor/scope.ts";
import { expectShape, formatShape } from "../tensor/shape.ts";
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

/** One layer of a KvCache: [B, capacity, Akv, D] keys and values. */
export class LayerCache implements Disposable {
  readonly #rows: KeysAndValues;
  #length = 0;

  constructor(rows: KeysAndValues) {
    this.#rows = { k: keep(rows.k), v: keep(rows.v) };
  }

  /** Positions that are filled. */
  get length(): number {
    return this.#length;
  }

  /**
   * Appends the keys and values of new positions, in place.
   * @param k [B, T, Akv, D]
   * @param v [B, T, Akv, D]
   * @param options.position [1] where to append, read on the device, so that a captured step can be replayed; `length` then stays
   *   as it is, and KvCache.advance follows each replay
   * @returns all keys and values, with room to spare behind `length`; they belong to the cache
   * @throws {ValueError} when there is no room left
   */
  append(
    k: F32,
    v: F32,
    { position }: { position?: Tensor<"u32"> } = {},
  ): { readonly k: F32; readonly v: F32; readonly length: number } {
    const [B, , numKeyValueHeads = 0, headDim = 0] = this.#rows.k.shape;
    if (k.rank !== 4) throw new ShapeError(`KvCache: needs k [B, T, Akv, D], got ${formatShape(k.shape)}`);
    expectShape("KvCache", "k", k.shape, [B ?? 0, k.axis(1), numKeyValueHeads, headDim]);
    expectShape("KvCache", "v", v.shape, k.shape);
    if (!position) this.expectRoom(k.axis(1));
    kvAppend({ k, v }, this.#rows, position ?? this.#length);
    if (!position) this.#length += k.axis(1);
    return { ...this.#rows, length: this.#length };
  }

  /** @throws {ValueError} when `count` more positions do not fit */
  expectRoom(count: number): void {
    const capacity = this.#rows.k.axis(1);
    if (this.#length + count > capacity)
      throw new ValueError(
        `KvCache: ${count} more positions after ${this.#length} pass the capacity of ${capacity}; make the cache larger or shorten the context`,
      );
  }

  /** Sets the number of filled positions. */
  resize(length: number): void {
    this.#length = length;
  }

  /** Puts sequence indices[b] in the place of sequence b. */
  reorder(indices: Tensor<"u32">): void {
    const selected = kvSelect(this.#rows, indices, this.#length);
    kvAppend(selected, this.#rows, 0);
    selected.k.dispose();
    selected.v.dispose();
  }

  [Symbol.dispose](): void {
    this.#rows.k.dispose();
    this.#rows.v.dispose();
  }
}

/** Keys and values of the positions that a decoder has seen, layer by layer: [B, capacity, Akv, D] each, allocated once. */
export class KvCache implements Disposable {
  readonly batchSize: number;
  readonly capacity: number;
  readonly #layers: readonly LayerCache[];

  constructor(device: Device, { numLayers, batchSize, capacity, numKeyValueHeads, headDim }: KvCacheOptions) {
    this.batchSize = batchSize;
    this.capacity = capacity;
    const room = () => empty(device, [batchSize, capacity, numKeyValueHeads, headDim], "f32");
    this.#layers = Array.from({ length: numLayers }, () => new LayerCache({ k: room(), v: room() }));
  }

  /** Positions that all layers have. */
  get length(): number {
    return Math.min(...this.#layers.map((layer) => layer.length));
  }

  /** What the attention of one layer appends to. @throws {ValueError} for a layer that does not exist */
  layer(index: number): LayerCache {
    const layer = this.#layers[index];
    if (!layer) throw new ValueError(`KvCache: layer ${index} does not exist; there are ${this.#layers.length}`);
    return layer;
  }

  /** Counts positions that a replayed capture has appended. @throws {ValueError} when they pass the capacity */
  advance(count: number): void {
    for (const layer of this.#layers) layer.expectRoom(count);
    for (const layer of this.#layers) layer.resize(layer.length + count);
  }

  /** Forgets all positions from `length` on, as after a rejected draft. Shorter layers stay as they are. */
  truncate(length: number): void {
    if (!Number.isInteger(length) || length < 0)
      throw new ValueError(`KvCache: cannot truncate to ${length} positions`);
    for (const layer of this.#layers) layer.resize(Math.min(layer.length, length));
  }

  /** Forgets everything. */
  reset(): void {
    this.truncate(0);
  }

  /**
   * Lets sequence b continue sequence indices[b], as a beam search does.
   * @param indices [B] u32
   */
  reorder(indices: Tensor<"u32">): void {
    expectShape("KvCache.reorder", "indices", indices.shape, [this.batchSize]);
    for (const layer of this.#layers) layer.reorder(indices);
  }

  [Symbol.dispose](): void {
    for (const layer of this.#layers) layer[Symbol.dispose]();
  }
}
