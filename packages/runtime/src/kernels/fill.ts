import type { Device } from "../device/device.ts";
import { defineKernel, grid1d } from "../device/kernel.ts";
import type { DType } from "../tensor/dtype.ts";
import { type Shape, sizeOf } from "../tensor/shape.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import code from "./fill.wgsl";

const kernel = defineKernel("fill", code);

const bits = new DataView(new ArrayBuffer(4));

/** A tensor with the same value everywhere. */
export function full<T extends DType>(device: Device, shape: Shape, value: number, dtype: T): Tensor<T> {
  const out = empty(device, shape, dtype);
  if (dtype === "f32") bits.setFloat32(0, value);
  else bits.setUint32(0, value);
  const size = sizeOf(shape);
  device.dispatch({
    kernel,
    bindings: [out.binding()],
    params: { size, bits: bits.getUint32(0) },
    grid: size === 0 ? [0] : grid1d(size, 64),
    bytes: 4 * size,
  });
  return out;
}

export function zeros<T extends DType>(device: Device, shape: Shape, dtype: T): Tensor<T> {
  return full(device, shape, 0, dtype);
}

export function ones<T extends DType>(device: Device, shape: Shape, dtype: T): Tensor<T> {
  return full(device, shape, 1, dtype);
}
