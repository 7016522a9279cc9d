import { defineKernel, grid1d } from "../device/kernel.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import code from "./counting-sort.wgsl";

const kernel = defineKernel("counting-sort", code);

type U32 = Tensor<"u32">;

export interface CountingSort {
  /** [numKeys] how often each key occurs. */
  readonly counts: U32;
  /** [numKeys + 1] exclusive sums of the counts. */
  readonly offsets: U32;
  /** [M] the item at each slot; NONE past the last one. */
  readonly order: U32;
  /** [M] the slot of each item; NONE for items left out. */
  readonly slots: U32;
}

/** Items a thread looks at for one key. */
const CHUNK = 256;

/** Sorts items by key, stable, in four dispatches. Work grows with items times keys: made for the experts of a layer. */
export function countingSort(keys: U32, numKeys: number): CountingSort {
  const { device } = keys;
  const items = keys.size;
  const chunks = Math.max(1, Math.ceil(items / CHUNK));
  const u32 = (length: number) => empty(device, [length], "u32");
  const params = { items, keys: numKeys, chunk: CHUNK, chunks };
  const run = (step: string, threads: number, tensors: U32[]) =>
    device.dispatch({
      kernel,
      defines: { [step]: true },
      bindings: tensors.map((tensor) => tensor.binding()),
      params,
      grid: grid1d(threads, 64),
    });
  const [histogram, counts, offsets, order, slots] = [
    u32(numKeys * chunks),
    u32(numKeys),
    u32(numKeys + 1),
    u32(items),
    u32(items),
  ];
  run("HISTOGRAM", numKeys * chunks, [keys, histogram]);
  run("TOTALS", numKeys, [histogram, counts]);
  run("OFFSETS", numKeys + 1, [counts, histogram, offsets]);
  run("PLACE", numKeys * chunks, [keys, histogram, offsets, slots, order]);
  histogram.dispose();
  return { counts, offsets, order, slots };
}
