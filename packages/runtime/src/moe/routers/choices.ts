import type { Device } from "../../device/device.ts";
import { map } from "../../kernels/map.ts";
import { add, divide } from "../../ops/elementwise.ts";
import { reshape } from "../../ops/layout.ts";
import { sum } from "../../ops/reduction.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { viewOf } from "../../tensor/views.ts";
import type { RoutingPlan } from "../plan.ts";

type F32 = Tensor<"f32">;

/** [1, E]: the ids of all experts. */
export function everyExpert(device: Device, numExperts: number): Tensor<"u32"> {
  return tensor(
    device,
    Uint32Array.from({ length: numExperts }, (_, e) => e),
    [1, numExperts],
  );
}

/** The ids where `isChosen` [N, K] is 1, NONE where it is 0. @param ids [N, K], or broadcast to it */
export function onlyChosen(ids: Tensor<"u32">, isChosen: F32): Tensor<"u32"> {
  return map("select(~(a ^ a), a, b > T(0.0))", [ids, isChosen], { dtype: "u32" });
}

/** Each row of [N, K] over its sum; rows of zeros stay. */
export function shares(gates: F32): F32 {
  const total = reshape(sum(gates, -1), [gates.axis(0), 1]);
  return divide(gates, add(total, map("select(T(0.0), T(1.0), a == T(0.0))", [total])));
}

/** [N, K]: 1 where a choice got a row, 0 where it was dropped or made none. */
export function rowMask({ assignmentSlot }: RoutingPlan, topK: number): F32 {
  return viewOf(map("select(T(1.0), T(0.0), T(a) > T(4e9))", [assignmentSlot]), [assignmentSlot.size / topK, topK]);
}
