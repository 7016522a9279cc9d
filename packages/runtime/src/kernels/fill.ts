import type { Device } from "../device/device.ts";
import { defineKernel, grid1d } from "../device/kernel.ts";
import type { DType } from "../tensor/dtype.ts";
import type { Shape } from "../tensor/shape.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import code from "./fill.wgsl";

const kernel = defineKernel("fill", code);

const bits = new DataView(new ArrayBuffer(4));

function bitsOf(value: number, dtype: DType): number {
  if (dtype === "f32") bits.setFloat32(0, value);
  else bits.setUint32(0, value);
  return bits.getUint32(0);
}

/** A tensor with the same value everywhere. */
export function full<T extends DType>(device: Device, shape: Shape, value: number, dtype: T): Tensor<T> {
  const out = empty(device, shape, dtype);
  const wide = out.size % 4 === 0;
  const size = wide ? out.size / 4 : out.size;
  device.dispatch({
    kernel,
    defines: { RAMP: false, TYPE: wide ? "vec4u" : "u32" },
    bindings: [out.binding()],
    params: { size, start: bitsOf(value, dtype), step: 0 },
    grid: size === 0 ? [0] : grid1d(size, 64),
    bytes: out.sizeBytes,
  });
  return out;
}

export function zeros<T extends DType>(device: Device, shape: Shape, dtype: T): Tensor<T> {
  return full(device, shape, 0, dtype);
}

export function ones<T extends DType>(device: Device, shape: Shape, dtype: T): Tensor<T> {
  return full(device, shape, 1, dtype);
}

/** The numbers start, start + step, start + 2 step, …: [length]. */
export function arange<T extends DType>(device: Device, length: number, dtype: T, start = 0, step = 1): Tensor<T> {
  const out = empty(device, [length], dtype);
  device.dispatch({
    kernel,
    defines: { RAMP: true, TYPE: dtype },
    bindings: [out.binding()],
    params: { size: length, start: bitsOf(start, dtype), step: bitsOf(step, dtype) },
    grid: length === 0 ? [0] : grid1d(length, 64),
    bytes: out.sizeBytes,
  });
  return out;
}
