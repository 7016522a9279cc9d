import { defineKernel, grid1d } from "../device/kernel.ts";
import { sizeOf } from "../tensor/shape.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import code from "./kv-append.wgsl";

const kernel = defineKernel("kv-append", code);

/** Keys and values of B sequences, [B, rows, ...] each. */
export interface KeysAndValues {
  readonly k: Tensor<"f32">;
  readonly v: Tensor<"f32">;
}

/**
 * Writes rows into a cache from `position` on, in place.
 * @param position a number, or [1] to be read on the device: rows beyond the cache's end are then dropped
 */
export function kvAppend(rows: KeysAndValues, cache: KeysAndValues, position: number | Tensor<"u32">): void {
  const onHost = typeof position === "number";
  copyRows(rows, cache, rows.k.axis(1), onHost ? undefined : position, {
    position: onHost ? position : 0,
    positioned: onHost ? 0 : 1,
    indexed: 0,
  });
}

/** The first `length` rows of the sequences `indices` [B] of a cache: sequence b of the result is sequence indices[b]. */
export function kvSelect(cache: KeysAndValues, indices: Tensor<"u32">, length: number): KeysAndValues {
  const shape = cache.k.shape.with(1, length);
  const selected = { k: empty(indices.device, shape, "f32"), v: empty(indices.device, shape, "f32") };
  copyRows(cache, selected, length, indices, { position: 0, positioned: 0, indexed: 1 });
  return selected;
}

function copyRows(
  source: KeysAndValues,
  target: KeysAndValues,
  length: number,
  numbers: Tensor<"u32"> | undefined,
  modes: Readonly<Record<"position" | "positioned" | "indexed", number>>,
): void {
  const width = sizeOf(source.k.shape.slice(2));
  const size = source.k.axis(0) * length * width;
  source.k.device.dispatch({
    kernel,
    bindings: [
      source.k.binding(),
      source.v.binding(),
      (numbers ?? source.k).binding(),
      target.k.bindingInPlace(),
      target.v.bindingInPlace(),
    ],
    params: { size, length, width, source_rows: source.k.axis(1), target_rows: target.k.axis(1), ...modes },
    grid: size === 0 ? [0] : grid1d(size, 64),
    bytes: 16 * size,
  });
}
