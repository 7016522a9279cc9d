import { defineKernel, grid1d } from "../device/kernel.ts";
import type { Defines } from "../device/preprocess.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import code from "./counting-sort.wgsl";
import { prefixSum } from "./prefix-sum.ts";

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

/** Up to here one pass takes the whole key; beyond, the counters would outnumber the items. */
const ONE_PASS_KEYS = 1024;
const DIGIT_BITS = 8;
/** Chunks are made long enough that two dispatches scan the counters, within bounds that keep threads many and their loops short. */
const COUNTERS = 65_536;
const MIN_CHUNK = 64;
const MAX_CHUNK = 512;

/**
 * Sorts M items by key: ascending item within a key, the same on every run, work linear in M. Keys of numKeys or more, such as
 * NONE (0xffffffff), are left out. Four dispatches up to 1,024 keys and 65,536 counters; beyond, a pass for each 8 bits of the key.
 */
export function countingSort(keys: U32, numKeys: number): CountingSort {
  const { device, size: items } = keys;
  const counts = empty(device, [numKeys], "u32");
  const offsets = empty(device, [numKeys + 1], "u32");
  if (numKeys <= ONE_PASS_KEYS) return { counts, offsets, ...runPasses(keys, numKeys, { counts, offsets }) };
  const { order, slots } = runPasses(keys, numKeys);
  device.dispatch({
    kernel,
    defines: { SEARCH: true },
    bindings: [keys, order, counts, offsets].map((tensor) => tensor.binding()),
    params: { ...NO_PASS, items, keys: numKeys },
    grid: grid1d(numKeys + 1, 64),
    bytes: 4 * (2 * items + 2 * numKeys),
  });
  return { counts, offsets, order, slots };
}

/** The items in the order of their keys, all below numKeys ≤ 2^32 − 1: [M] to [M], ascending item within a key. */
export function radixSort(keys: U32, numKeys: number): U32 {
  const { order, slots } = runPasses(keys, numKeys);
  slots.dispose();
  return order;
}

const NO_PASS = { chunk: 0, chunks: 0, digits: 0, shift: 0, first: 0, last: 0 };

/** @param ends where one pass takes the whole key: filled in on the way */
function runPasses(
  keys: U32,
  numKeys: number,
  ends?: Pick<CountingSort, "counts" | "offsets">,
): Pick<CountingSort, "order" | "slots"> {
  const { device, size: items } = keys;
  const u32 = (length: number) => empty(device, [length], "u32");
  const [order, slots] = [u32(items), u32(items)];
  const digits = ends ? numKeys + 1 : 2 ** DIGIT_BITS; // numKeys itself stands for all keys left out
  const passes = ends ? 1 : Math.ceil((32 - Math.clz32(numKeys)) / DIGIT_BITS);
  const chunk = Math.min(MAX_CHUNK, Math.max(MIN_CHUNK, Math.ceil((items * digits) / COUNTERS)));
  const chunks = Math.max(1, Math.ceil(items / chunk));
  const run = (defines: Defines, pass: number, threads: number, tensors: U32[]) =>
    device.dispatch({
      kernel,
      defines,
      bindings: tensors.map((tensor) => tensor.binding()),
      params: {
        items,
        keys: numKeys,
        chunk,
        chunks,
        digits,
        shift: DIGIT_BITS * pass,
        first: pass === 0 ? 1 : 0,
        last: pass === passes - 1 ? 1 : 0,
      },
      grid: grid1d(threads, 64),
      bytes: 4 * tensors.reduce((sum, tensor) => sum + tensor.size, 0),
    });

  let source = keys; // not read in the first pass
  for (let pass = 0; pass < passes; pass++) {
    const histogram = u32(digits * chunks);
    run({ HISTOGRAM: true }, pass, chunks, [keys, source, histogram]);
    const firstSlot = prefixSum(histogram);
    const target = pass === passes - 1 ? order : u32(items);
    const bindings = [keys, source, firstSlot, histogram, target, slots];
    if (ends)
      run({ PLACE: true, ONE_PASS: true }, pass, Math.max(chunks, numKeys + 1), [
        ...bindings,
        ends.counts,
        ends.offsets,
      ]);
    else run({ PLACE: true }, pass, chunks, bindings);
    for (const tensor of [histogram, firstSlot]) tensor.dispose();
    if (pass > 0) source.dispose();
    source = target;
  }
  return { order, slots };
}
