import { type Device, defineKernel } from "@moebius/runtime/device";
import { linear, matmul } from "@moebius/runtime/ops";
import { empty, scope, type Tensor } from "@moebius/runtime/tensor";
import type { BenchCase } from "./bench-case.ts";
import { randomTensor } from "./random.ts";
import textbookCode from "./textbook-gemm.wgsl";

const textbook = defineKernel("textbook-gemm", textbookCode);

function textbookGemm(a: Tensor<"f32">, b: Tensor<"f32">): void {
  const [m, k, n] = [a.axis(0), a.axis(1), b.axis(1)];
  using c = empty(a.device, [m, n], "f32");
  a.device.dispatch({
    kernel: textbook,
    bindings: [a.binding(), b.binding(), c.binding()],
    params: { m, n, k },
    grid: [n / 64, m / 64],
  });
}

const gemm = (m: number, n: number, k: number, transposed: boolean): BenchCase => ({
  name: `gemm ${transposed ? "x·Wᵀ" : "A·B"} ${m}x${n}x${k}`,
  prepare(device: Device) {
    const a = randomTensor(device, "a", [m, k]);
    const b = randomTensor(device, "b", [k, n]);
    const weight = randomTensor(device, "weight", [n, k]);
    const flops = 2 * m * n * k;
    return {
      run: () => scope(() => void (transposed ? linear(a, weight) : matmul(a, b))),
      work: { flops },
      ...(m % 64 === 0 && n % 64 === 0 && k % 16 === 0
        ? { reference: { name: "64x64 tile in workgroup memory", run: () => textbookGemm(a, b), work: { flops } } }
        : {}),
      owned: [a, b, weight],
    };
  },
});

export const gemmCases = [
  gemm(512, 512, 512, false),
  gemm(512, 512, 512, true),
  gemm(256, 1024, 1024, false),
  gemm(509, 511, 513, false),
];
