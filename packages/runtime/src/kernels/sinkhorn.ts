import { ShapeError } from "../device/errors.ts";
import { defineKernel } from "../device/kernel.ts";
import { formatShape } from "../tensor/shape.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import code from "./sinkhorn.wgsl";

type F32 = Tensor<"f32">;

const kernel = defineKernel("sinkhorn", code);

const LANES = 64;
/** Rows that fit a workgroup's memory. */
const MAX_SIZE = 1024;

/**
 * Rows and columns over their sums, `iterations` times: all iterations in one dispatch, a workgroup a matrix.
 * @param logits [m, n, n]
 * @returns P [m, n, n], and what the backward pass needs
 * @throws {ShapeError} unless the matrices are square, of 1 to 1024 rows
 */
export function sinkhornForward(logits: F32, iterations: number): { out: F32; history: F32 } {
  const [m = 0, n = 0] = logits.shape;
  if (logits.rank !== 3 || logits.axis(2) !== n || n < 1 || n > MAX_SIZE)
    throw new ShapeError(`sinkhorn: needs [m, n, n] with n up to ${MAX_SIZE}, got ${formatShape(logits.shape)}`);
  const out = empty(logits.device, logits.shape, "f32");
  const history = empty(logits.device, [m, iterations, 2, n], "f32");
  logits.device.dispatch({
    kernel,
    defines: { LANES, SIZE: MAX_SIZE },
    bindings: [logits, history, out].map((tensor) => tensor.binding()),
    params: { n, iterations },
    grid: [m],
    bytes: 4 * (logits.size + history.size + out.size),
  });
  return { out, history };
}

/** @returns the gradient of the logits */
export function sinkhornBackward(logits: F32, history: F32, dp: F32): F32 {
  const [m = 0, iterations = 0, , n = 0] = history.shape;
  const out = empty(logits.device, logits.shape, "f32");
  logits.device.dispatch({
    kernel,
    defines: { BACKWARD: true, LANES, SIZE: MAX_SIZE },
    bindings: [logits, history, dp, out].map((tensor) => tensor.binding()),
    params: { n, iterations },
    grid: [m],
    bytes: 4 * (3 * logits.size + history.size),
  });
  return out;
}
