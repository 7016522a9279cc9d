import { planTopK } from "@moebius/runtime/moe";
import { expandLinear, linear } from "@moebius/runtime/ops";
import { scope, tensor } from "@moebius/runtime/tensor";
import type { BenchCase } from "./bench-case.ts";
import { randomTensor } from "./random.ts";

/** Eight experts that get 4:2:1:1:0:0:0:0 of 512 rows, against one dense product of as many rows. */
const groupedCase: BenchCase = {
  name: "grouped gemm 8 experts, 512 rows as 4:2:1:1:0:0:0:0, 512 to 512",
  prepare(device) {
    const shares = [256, 128, 64, 64, 0, 0, 0, 0];
    const indices = tensor(
      device,
      Uint32Array.from(shares.flatMap((count, expert) => new Array<number>(count).fill(expert))),
      [512, 1],
    );
    const x = randomTensor(device, "x", [512, 512]);
    const bank = randomTensor(device, "bank", [8, 512, 512]);
    const weight = randomTensor(device, "weight", [512, 512]);
    const ones = tensor(device, new Float32Array(512).fill(1), [512, 1]);
    const plan = planTopK(indices, ones, { numExperts: 8 });
    const work = { flops: 2 * 512 ** 3 };
    return {
      run: () => scope(() => void expandLinear(x, bank, plan)),
      work,
      references: [
        { name: "dense gemm of the same flops", run: () => scope(() => void linear(x, weight)), work, goal: 0.75 },
      ],
      owned: [indices, x, bank, weight, ones],
    };
  },
};

export const groupedCases = [groupedCase];
