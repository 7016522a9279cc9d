// Run as a process of its own: doubles four numbers on the embedded adapter and prints what it found.
import { create, globals } from "webgpu";
import { useSoftwareAdapter } from "../../src/index.ts";

Object.assign(globalThis, globals);
const used = useSoftwareAdapter();
const gpu = create([]);
const adapter = await gpu.requestAdapter();
if (!adapter) throw new Error("no adapter");
const device = await adapter.requestDevice();
const pipeline = device.createComputePipeline({
  layout: "auto",
  compute: {
    module: device.createShaderModule({
      code: `@group(0) @binding(0) var<storage, read_write> x: array<f32>;
        @compute @workgroup_size(4) fn main(@builtin(local_invocation_index) i: u32) { x[i] = 2 * x[i]; }`,
    }),
  },
});
const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
const buffer = device.createBuffer({ size: 16, usage });
const staging = device.createBuffer({ size: 16, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
device.queue.writeBuffer(buffer, 0, new Float32Array([1, 2, 3, 4]));
const encoder = device.createCommandEncoder();
const pass = encoder.beginComputePass();
pass.setPipeline(pipeline);
pass.setBindGroup(
  0,
  device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries: [{ binding: 0, resource: { buffer } }] }),
);
pass.dispatchWorkgroups(1);
pass.end();
encoder.copyBufferToBuffer(buffer, 0, staging, 0, 16);
device.queue.submit([encoder.finish()]);
await staging.mapAsync(GPUMapMode.READ);
const doubled = [...new Float32Array(staging.getMappedRange())];
console.log(
  JSON.stringify({ used, description: adapter.info.description, driverFiles: process.env.VK_DRIVER_FILES, doubled }),
);
device.destroy();
