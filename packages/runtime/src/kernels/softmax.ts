import { ShapeError } from "../device/errors.ts";
import { defineKernel, grid1d } from "../device/kernel.ts";
import type { Defines } from "../device/preprocess.ts";
import { formatShape } from "../tensor/shape.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import { rowDefines } from "./row-sum.ts";
import rowSum from "./row-sum.wgsl";
import code from "./softmax.wgsl";

type F32 = Tensor<"f32">;

const kernel = defineKernel("softmax", code, { "row-sum": rowSum });

function run(inputs: F32[], out: F32, defines: Defines, subgroupSize = out.device.subgroupSize): F32 {
  const [x] = inputs as [F32];
  const width = x.axis(-1);
  const rows = x.size / (width || 1);
  x.device.dispatch({
    kernel,
    defines: { ...rowDefines(width, subgroupSize), ...defines },
    bindings: [...inputs.map((input) => input.binding()), out.binding()],
    params: { rows, width },
    grid: x.size === 0 ? [0] : grid1d(rows, 1),
    bytes: 4 * (x.size * inputs.length + out.size),
  });
  return out;
}

export function softmax(x: F32, subgroupSize?: number): F32 {
  return run([x], empty(x.device, x.shape, "f32"), { SOFTMAX: true }, subgroupSize);
}

export function logSoftmax(x: F32): F32 {
  return run([x], empty(x.device, x.shape, "f32"), { LOG_SOFTMAX: true });
}

/** [..., N] to [...]. @throws {ShapeError} when N is 0 */
export function logSumExp(x: F32): F32 {
  if (x.axis(-1) === 0)
    throw new ShapeError(`logSumExp: the last axis of ${formatShape(x.shape)} needs at least one element`);
  return run([x], empty(x.device, x.shape.slice(0, -1), "f32"), { LOG_SUM_EXP: true });
}

export function softmaxBackward(y: F32, dy: F32): F32 {
  return run([y, dy], empty(y.device, y.shape, "f32"), { BACKWARD: true });
}

export function logSoftmaxBackward(y: F32, dy: F32): F32 {
  return run([y, dy], empty(y.device, y.shape, "f32"), { BACKWARD: true, LOG: true });
}
