import { map } from "../../kernels/map.ts";
import { add, divide } from "../../ops/elementwise.ts";
import { reshape } from "../../ops/layout.ts";
import { sum } from "../../ops/reduction.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { viewOf } from "../../tensor/views.ts";
import type { RoutingPlan } from "../plan.ts";

type F32 = Tensor<"f32">;

/** Each row of [N, K] over its sum; rows of zeros stay. */
export function shares(gates: F32): F32 {
  const total = reshape(sum(gates, -1), [gates.axis(0), 1]);
  return divide(gates, add(total, map("select(T(0.0), T(1.0), a == T(0.0))", [total])));
}

/** [N, K]: 1 where a choice got a row, 0 where it was dropped or made none. */
export function rowMask({ assignmentSlot }: RoutingPlan, topK: number): F32 {
  return viewOf(map("select(T(1.0), T(0.0), T(a) > T(4e9))", [assignmentSlot]), [assignmentSlot.size / topK, topK]);
}
