import { ValueError } from "../device/errors.ts";
import { sinkhornBackward, sinkhornForward } from "../kernels/sinkhorn.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { differentiable } from "./tape.ts";

type F32 = Tensor<"f32">;

/**
 * Rows, then columns over their sums, `iterations` times, in logarithms: exp(L − u − v), where u and v are the logarithms of what was
 * divided by.
 * @param logits L [m, E, E], E up to 1024
 * @throws {ShapeError} for matrices that are not square, or too large
 * @throws {ValueError} for a number of iterations that is not positive
 * @see Sinkhorn 1964, doi 10.1214/aoms/1177703591; Mena et al. 2018, arXiv:1802.08665
 */
export function sinkhorn(logits: F32, iterations: number): F32 {
  if (!(Number.isInteger(iterations) && iterations >= 1))
    throw new ValueError(`sinkhorn: ${iterations} iterations, expected a positive integer`);
  const { out, history } = sinkhornForward(logits, iterations);
  differentiable("sinkhorn", [logits], [out], [logits, history], ([dp], [logits, history]) => [
    sinkhornBackward(logits as F32, history as F32, dp as F32),
  ]);
  history.dispose();
  return out;
}
