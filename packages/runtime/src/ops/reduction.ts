import { map } from "../kernels/map.ts";
import { reduce } from "../kernels/reduce.ts";
import { resolveAxis, type Shape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { viewOf } from "../tensor/views.ts";
import { differentiable } from "./tape.ts";

type F32 = Tensor<"f32">;

/** The reduced tensor's shape with its axis back in place, so that it broadcasts against the input. */
function withAxis(shape: Shape, axis: number | undefined): number[] {
  return shape.map((length, k) => (axis === undefined || k === axis ? 1 : length));
}

/** Σ x over one axis (removed), or over all (a scalar). */
export function sum(x: F32, axis?: number): F32 {
  return linearReduction("sum", x, axis);
}

/** The mean of x over one axis (removed), or over all (a scalar). */
export function mean(x: F32, axis?: number): F32 {
  return linearReduction("mean", x, axis);
}

function linearReduction(reduction: "sum" | "mean", x: F32, axis: number | undefined): F32 {
  const at = axis === undefined ? undefined : resolveAxis(reduction, axis, x.rank);
  const y = reduce(x, reduction, at);
  const { shape } = x;
  const factor = reduction === "mean" ? 1 / (at === undefined ? x.size : x.axis(at)) : 1;
  differentiable(reduction, [x], [y], [], ([dy]) => [
    map("a * s0", [viewOf(dy as F32, withAxis(shape, at))], { scalars: [factor], shape }),
  ]);
  return y;
}

/** The largest value along an axis (removed), or of all. Equal maxima share the gradient's full value. */
export function max(x: F32, axis?: number): F32 {
  const at = axis === undefined ? undefined : resolveAxis("max", axis, x.rank);
  const y = reduce(x, "max", at);
  differentiable("max", [x], [y], [x, y], ([dy], [x, y]) => {
    const wide = withAxis((x as F32).shape, at);
    return [map("select(T(0.0), c, a == b)", [x as F32, viewOf(y as F32, wide), viewOf(dy as F32, wide)])];
  });
  return y;
}
