import { type Device, defineKernel } from "@moebius/runtime/device";
import { empty, scope, type Tensor } from "@moebius/runtime/tensor";
import type { Reference } from "./bench-case.ts";
import gemmCode from "./laboratory-gemm.wgsl";
import gemvCode from "./laboratory-gemv.wgsl";
import { randomTensor } from "./random.ts";

type F32 = Tensor<"f32">;

const gemm = defineKernel("laboratory-gemm", gemmCode);
const gemv = defineKernel("laboratory-gemv", gemvCode);

interface Strategy {
  name: string;
  /** Values of k an iteration. */
  step: number;
  /** Tiles a workgroup. */
  subgroups: number;
}

/** The laboratory's two best kernels: which of them wins depends on how busy the machine is. */
export const STRATEGIES: readonly Strategy[] = [
  { name: "laboratory, 1 k a step, 4 subgroups", step: 1, subgroups: 4 },
  { name: "laboratory, 2 k a step", step: 2, subgroups: 1 },
];

/** The laboratory's product kernels are made for software adapters with subgroups. */
export const hasLaboratory = ({ adapterClass, subgroupSize }: Device): boolean =>
  adapterClass !== "hardware" && (subgroupSize === 4 || subgroupSize === 8);

/** C = A · B. @param aT [k, m] @param b [k, n] @returns [m, n]; m is a multiple of 128, n of 64, k of 2 */
export function laboratoryGemm(aT: F32, b: F32, { step, subgroups }: Strategy): F32 {
  const { device } = aT;
  const [m, n, k] = [aT.axis(1), b.axis(1), b.axis(0)];
  const lanes = device.subgroupSize;
  const loads = 8 / lanes;
  const c = empty(device, [m, n], "f32");
  device.dispatch({
    kernel: gemm,
    defines: { LANES: lanes, LOADS: loads, STEP: step, SUBGROUPS_A_GROUP: subgroups, M: m, N: n, K: k },
    bindings: [aT.binding(), b.binding(), c.binding()],
    grid: [n / (8 * lanes), m / (4 * lanes * loads * subgroups)],
  });
  return c;
}

/** Columns of a lane, in quads: more read slower on lavapipe. */
const GEMV_QUADS = 1;

/** y = x · B. @param x [k] @param b [k, n] @returns [n]; n is a multiple of four subgroups, k of one */
export function laboratoryGemv(x: F32, b: F32): F32 {
  const { device } = x;
  const lanes = device.subgroupSize || 8;
  const [k, n] = [b.axis(0), b.axis(1)];
  const y = empty(device, [n], "f32");
  device.dispatch({
    kernel: gemv,
    defines: { LANES: lanes, QUADS: GEMV_QUADS, N: n, K: k },
    bindings: [x.binding(), b.binding(), y.binding()],
    grid: [n / (4 * lanes * GEMV_QUADS)],
  });
  return y;
}

/** The laboratory's kernels on m x k and k x n as references with a `goal`; none on an adapter that they are not made for. */
export function laboratoryProducts(
  device: Device,
  { m, n, k, goal }: { m: number; n: number; k: number; goal: number },
): { references: Reference[]; owned: F32[] } {
  if (!hasLaboratory(device)) return { references: [], owned: [] };
  const aT = randomTensor(device, "a", [k, m]);
  const b = randomTensor(device, "b", [k, n]);
  const references = STRATEGIES.map((strategy) => ({
    name: `${strategy.name}, ${m}x${n}x${k}`,
    goal,
    work: { flops: 2 * m * n * k },
    run: () => scope(() => void laboratoryGemm(aT, b, strategy)),
  }));
  return { references, owned: [aT, b] };
}
