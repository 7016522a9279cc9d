import { ValueError } from "../device/errors.ts";
import { type AnyRandomKey, dropElements } from "../kernels/random.ts";
import { RandomKey } from "../tensor/philox.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { differentiable } from "./tape.ts";

export { type AnyRandomKey, deriveKey, randomGumbel, randomNormal, randomUniform } from "../kernels/random.ts";

type F32 = Tensor<"f32">;

/**
 * Sets elements to 0 with probability `rate` and multiplies the others by 1 / (1 − rate). The choice follows from the key alone,
 * so that a block that is computed again repeats it: give every use and step a key of its own (split, fold).
 * @param key on the host, or [2] u32 on the device for captured steps
 * @throws {ValueError} unless 0 ≤ rate < 1
 * @see Srivastava et al. 2014, jmlr.org/papers/v15/srivastava14a.html
 */
export function dropout(x: F32, rate: number, key: AnyRandomKey): F32 {
  if (!(rate >= 0 && rate < 1)) throw new ValueError(`dropout: rate is ${rate}, expected 0 ≤ rate < 1`);
  const y = dropElements(x, rate, key);
  // The op is linear and diagonal: its transpose is itself, with the same key.
  const onHost = key instanceof RandomKey;
  differentiable("dropout", [x], [y], onHost ? [] : [key], ([dy], [saved]) => [
    dropElements(dy as F32, rate, onHost ? key : (saved as Tensor<"u32">)),
  ]);
  return y;
}
