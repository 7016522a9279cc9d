import { type Device, defineKernel } from "../../src/device/index.ts";
import { empty, type Tensor } from "../../src/tensor/index.ts";

type F32 = Tensor<"f32">;

/** y = x · factor + term, to record by hand what ops would hide. */
const scale = defineKernel(
  "scale",
  `struct Params { size: u32, factor: f32, term: f32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < params.size) { y[id.x] = x[id.x] * params.factor + params.term; }
}`,
);

export function scaled(x: F32, factor: number, term = 0, out = empty(x.device, x.shape, "f32")): F32 {
  x.device.dispatch({
    kernel: scale,
    bindings: [x.binding(), out.binding()],
    params: { size: x.size, factor, term },
    grid: [Math.ceil(x.size / 64)],
    flops: 2 * x.size,
    bytes: 8 * x.size,
    weightBytes: 4 * x.size,
  });
  return out;
}

/** A kernel that does not compile: line 3 of its text names an unknown variable. */
export const brokenKernel = () =>
  defineKernel(
    "broken",
    `@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64) fn main() { y[0] = x[0] + nowhere; }`,
  );

export function dispatchBroken(device: Device, x: F32, y: F32, kernel = brokenKernel()): void {
  device.dispatch({ kernel, bindings: [x.binding(), y.binding()], grid: [1] });
}
