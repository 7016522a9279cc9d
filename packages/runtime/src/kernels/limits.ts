import type { Device } from "../device/device.ts";
import type { MeasuredLimits } from "../device/profile.ts";
import { scope } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { full, ones } from "./fill.ts";
import { gemm } from "./gemm.ts";
import { map } from "./map.ts";

/** Elements copied and rows of the square product: enough to fill the adapter, little enough for a fraction of a second. */
const SIZES = {
  hardware: { elements: 2 ** 26, side: 4096 },
  software: { elements: 2 ** 23, side: 512 },
  embedded: { elements: 2 ** 23, side: 256 },
};
const ROUNDS = 5;

const measured = new WeakMap<Device, Promise<MeasuredLimits>>();

/** What the adapter reaches at best: a copy's bandwidth and a matrix product's operations. Measured once a device, in about a second. */
export function measureLimits(device: Device): Promise<MeasuredLimits> {
  const known = measured.get(device) ?? measure(device);
  measured.set(device, known);
  return known;
}

async function measure(device: Device): Promise<MeasuredLimits> {
  const { elements, side } = SIZES[device.adapterClass];
  using x = ones(device, [elements], "f32");
  const copyMs = await shortestMs(device, () => map("a", [x]));
  using a = full(device, [side, side], 0.5, "f32");
  const productMs = await shortestMs(device, () => gemm(a, a, { order: "in-major" }));
  return { gbps: (8 * elements) / copyMs / 1e6, gflops: (2 * side ** 3) / productMs / 1e6 };
}

/** Time of one call: several are recorded together, so that waiting for the device does not count. */
async function shortestMs(device: Device, fn: () => Tensor): Promise<number> {
  const run = async (calls: number) => {
    const start = performance.now();
    for (let i = 0; i < calls; i++) scope(() => void fn());
    await device.finish();
    return (performance.now() - start) / calls;
  };
  await run(1);
  const first = await run(1);
  const calls = Math.max(1, Math.min(20, Math.round(30 / first)));
  let best = first;
  for (let round = 0; round < ROUNDS; round++) best = Math.min(best, await run(calls));
  return best;
}
