import { requestDevice } from "@moebius/runtime/device";
import { tensor, scope } from "@moebius/runtime/tensor";
import { gemm, gemmTransposed } from "/work/main/packages/runtime/src/kernels/gemm.ts";
const device = await requestDevice({ onNotice: false });
const t = (...s: number[]) => tensor(device, new Float32Array(s.reduce((a, b) => a * b, 1)).fill(0.5), s);
for (const subgroupSize of [0])
  for (const [m, k, n] of [[512, 512, 512], [65, 67, 71]]) {
    const a = t(m, k), b = t(k, n), bt = t(n, k), a2 = t(m, k), b2 = t(m, n);
    for (const [name, run] of [
      ["in", () => gemm(a, b, { order: "in-major", subgroupSize })],
      ["out", () => gemm(a, bt, { order: "out-major", subgroupSize })],
      ["at", () => gemmTransposed(a2, b2, { subgroupSize })],
    ] as const) {
      let start = performance.now();
      run().dispose(); await device.finish();
      const first = performance.now() - start;
      let best = 1e9;
      for (let i = 0; i < 8; i++) { start = performance.now(); run().dispose(); await device.finish(); best = Math.min(best, performance.now() - start); }
      const fl = 2 * m! * k! * n!;
      console.log(subgroupSize, name, m, k, n, "first", first.toFixed(0), "ms; best", best.toFixed(2), "ms", (fl / best / 1e6).toFixed(1), "Gflop/s");
    }
  }
process.exit(0);
