import { testDevice } from "@moebius/testing";
import { expect, test } from "vitest";
import { defineKernel } from "../../src/device/index.ts";
import { empty, tensor } from "../../src/tensor/index.ts";

const device = await testDevice();

const increment = defineKernel(
  "increment",
  `struct Params { size: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < params.size) { y[id.x] = x[id.x] + 1.0; }
}`,
);

test("writes recorded while earlier work still compiles arrive in order", async () => {
  const x = tensor(device, [1, 2, 3]);
  const reads: Promise<Float32Array>[] = [];
  for (let value = 0; value < 3; value++) {
    const y = empty(device, [3], "f32");
    // The pending dispatch reads x, so that the next write has to go through a staging buffer.
    device.dispatch({ kernel: increment, bindings: [x.binding(), y.binding()], params: { size: 3 }, grid: [1] });
    reads.push(y.read());
    x.write(Float32Array.of(10 * value, 0, 0));
    y.dispose();
  }
  const results = await Promise.all(reads);
  expect(results.map((y) => [...y])).toEqual([
    [2, 3, 4],
    [1, 1, 1],
    [11, 1, 1],
  ]);
  expect([...(await x.read())]).toEqual([20, 0, 0]);
});
