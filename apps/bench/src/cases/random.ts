import type { Device } from "@moebius/runtime/device";
import { RandomKey, type Shape, sizeOf, type Tensor, tensor } from "@moebius/runtime/tensor";

/** Normal numbers of a fixed seed, scaled so that products of such tensors stay near 1. */
export function randomTensor(device: Device, name: string, shape: Shape): Tensor<"f32"> {
  return tensor(device, new RandomKey(0).split(name).normal(sizeOf(shape)), shape);
}
