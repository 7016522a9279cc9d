import { type Device, defineKernel } from "@moebius/runtime/device";
import { linear, matmul } from "@moebius/runtime/ops";
import { empty, scope, type Tensor } from "@moebius/runtime/tensor";
import { backwardOf } from "./backward.ts";
import type { BenchCase, Reference } from "./bench-case.ts";
import { laboratoryProducts } from "./laboratory.ts";
import { randomTensor } from "./random.ts";
import textbookCode from "./textbook-gemm.wgsl";

type F32 = Tensor<"f32">;

const textbook = defineKernel("textbook-gemm", textbookCode);

function textbookProduct(a: F32, b: F32): Reference {
  const [m, k, n] = [a.axis(0), a.axis(1), b.axis(1)];
  return {
    name: "64x64 tile in workgroup memory",
    work: { flops: 2 * m * n * k },
    run: () => {
      using c = empty(a.device, [m, n], "f32");
      a.device.dispatch({
        kernel: textbook,
        bindings: [a.binding(), b.binding(), c.binding()],
        params: { m, n, k },
        grid: [n / 64, m / 64],
      });
    },
  };
}

/** A layer's product with a weight [out, in], and its two gradients, are the three forms that training needs. */
const FORMS = {
  A·B: (a: F32, b: F32) => ({ run: () => scope(() => void matmul(a, b)), owned: [] }),
  A·Bᵀ: (a: F32, b: F32) => {
    const weight = randomTensor(a.device, "weight", [b.axis(1), b.axis(0)]);
    return { run: () => scope(() => void linear(a, weight)), owned: [weight] };
  },
  Aᵀ·B: (a: F32, b: F32) => {
    // d b of c = x · b is xᵀ · dc: with x [k, m], the product of a case that is called m x n x k.
    const x = randomTensor(a.device, "x", [a.axis(1), a.axis(0)]);
    const into = randomTensor(a.device, "into", [a.axis(0), b.axis(1)]);
    return { ...backwardOf([into], () => matmul(x, into), b), owned: [x, into] };
  },
};

interface GemmCase {
  m: number;
  n: number;
  k: number;
  form?: keyof typeof FORMS;
  goal: number;
}

const gemm = ({ m, n, k, form = "A·B", goal }: GemmCase): BenchCase => ({
  name: `gemm ${form} ${m}x${n}x${k}`,
  prepare(device: Device) {
    const a = randomTensor(device, "a", [m, k]);
    const b = randomTensor(device, "b", [k, n]);
    const { owned, ...product } = FORMS[form](a, b);
    const fits = m % 64 === 0 && n % 64 === 0 && k % 16 === 0;
    const laboratory = laboratoryProducts(device, fits ? { m, n, k, goal } : { m: 512, n: 512, k: 512, goal });
    return {
      ...product,
      work: { flops: 2 * m * n * k },
      references: [...laboratory.references, ...(fits && form === "A·B" ? [textbookProduct(a, b)] : [])],
      owned: [a, b, ...owned, ...laboratory.owned],
    };
  },
});

export const gemmCases = [
  gemm({ m: 512, n: 512, k: 512, goal: 0.9 }),
  gemm({ m: 256, n: 1024, k: 1024, goal: 0.9 }),
  gemm({ m: 512, n: 512, k: 512, form: "A·Bᵀ", goal: 0.6 }),
  gemm({ m: 512, n: 512, k: 512, form: "Aᵀ·B", goal: 0.6 }),
  gemm({ m: 509, n: 511, k: 513, goal: 0.7 }),
];
