import type { Device } from "@moebius/runtime/device";
import { attention, linear } from "@moebius/runtime/ops";
import { scope } from "@moebius/runtime/tensor";
import { backwardOf } from "./backward.ts";
import type { BenchCase } from "./bench-case.ts";
import { randomTensor } from "./random.ts";

const [B, A, T, D] = [4, 8, 512, 32];
/** Two products over the lower triangle of the scores: as much as two products of 512 x 512 x 512. */
const FLOPS = 2 * 2 * B * A * ((T * (T + 1)) / 2) * D;

const attentionCase = (pass: "forward" | "backward"): BenchCase => ({
  name: `attention ${pass} B${B} heads ${A} T${T} d${D} causal`,
  prepare(device: Device) {
    const random = (name: string) => randomTensor(device, name, [B, T, A, D]);
    const [q, k, v, seed] = [random("q"), random("k"), random("v"), random("seed")];
    const x = randomTensor(device, "x", [512, 512]);
    const w = randomTensor(device, "w", [512, 512]);
    const forward = () => attention(q, k, v, { causal: true });
    return {
      ...(pass === "forward" ? { run: () => scope(() => void forward()) } : backwardOf([q, k, v], forward, seed)),
      // Five products: the scores once more, and the gradients of scores, q, k and v (FlashAttention counts so, arXiv:2307.08691).
      work: { flops: pass === "forward" ? FLOPS : 2.5 * FLOPS },
      references: [
        {
          name: "two gemm 512x512x512",
          run: () => scope(() => void linear(linear(x, w), w)),
          work: { flops: 2 * 2 * 512 ** 3 },
          goal: pass === "forward" ? 0.5 : 0.4,
        },
      ],
      owned: [q, k, v, seed, x, w],
    };
  },
});

export const attentionCases = [attentionCase("forward"), attentionCase("backward")];
