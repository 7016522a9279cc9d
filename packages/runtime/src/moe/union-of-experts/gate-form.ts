import { addScalar, subtract } from "../../ops/elementwise.ts";
import { stopGradient } from "../../ops/tape.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/**
 * What the gate's probabilities do to the outputs of the experts it chose:
 * - `none` (default; the released code): nothing, so that the gate gets no gradient and keeps its initial values;
 * - `scaled`: they multiply the outputs, and tokens that only fill an expert up add nothing;
 * - `straight-through`: as `none` forward, as `scaled` in the gradient.
 */
export type GateForm = "none" | "scaled" | "straight-through";

/** The factor of each output: the probabilities themselves, or 1 with their gradient. */
export function gateFactors(probs: Tensor<"f32">, form: Exclude<GateForm, "none">): Tensor<"f32"> {
  return form === "scaled" ? probs : addScalar(subtract(probs, stopGradient(probs)), 1);
}
