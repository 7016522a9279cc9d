import { ShapeError } from "../device/errors.ts";
import { defineKernel, grid1d } from "../device/kernel.ts";
import { formatShape } from "../tensor/shape.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import code from "./argsort.wgsl";
import { radixSort } from "./counting-sort.ts";
import sortKey from "./sort-key.wgsl";

const kernel = defineKernel("argsort", code, { "sort-key": sortKey });

/** Up to here one dispatch that compares all pairs is about as fast as the sixteen of a radix sort (lavapipe, 2 cores: 2 ms). */
const FEW = 1024;
/** All keys are below: see argsort.wgsl. */
const NUM_KEYS = 0xff800001;

/**
 * The indices of the largest value, the next, and so on; ties in their own order, NaN last. It has no gradient.
 * @param x [N]
 * @param few Default: by N
 * @returns [N] u32
 * @throws {ShapeError} unless x has one axis
 */
export function argsortDescending(x: Tensor<"f32">, few = x.size <= FEW): Tensor<"u32"> {
  if (x.rank !== 1) throw new ShapeError(`argsortDescending: x must be [N], got ${formatShape(x.shape)}`);
  const out = empty(x.device, [x.size], "u32");
  x.device.dispatch({
    kernel,
    defines: { KEYS: !few },
    bindings: [x.binding(), out.binding()],
    params: { size: x.size },
    grid: x.size === 0 ? [0] : grid1d(x.size, 64),
    bytes: 4 * 2 * x.size,
  });
  if (few) return out;
  const order = radixSort(out, NUM_KEYS);
  out.dispose();
  return order;
}
