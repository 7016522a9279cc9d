import { map } from "../kernels/map.ts";
import { expectShape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { differentiable, needsGradient } from "./tape.ts";

type F32 = Tensor<"f32">;

/** silu(gate) · up in one pass (Shazeer 2020, arXiv:2002.05202). Both of one shape. */
export function swiglu(gate: F32, up: F32): F32 {
  expectShape("swiglu", "up", up.shape, gate.shape);
  const y = map("silu(a) * b", [gate, up]);
  const wants = [gate, up].map(needsGradient);
  // d/dgate = silu'(gate) up dy; d/dup = silu(gate) dy
  differentiable("swiglu", [gate, up], [y], [gate, up], ([dy], [gate, up]) => [
    wants[0] ? map("silu_slope(a) * b * c", [gate as F32, up as F32, dy as F32]) : undefined,
    wants[1] ? map("silu(a) * b", [gate as F32, dy as F32]) : undefined,
  ]);
  return y;
}
