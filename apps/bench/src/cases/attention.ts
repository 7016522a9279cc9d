import type { Device } from "@moebius/runtime/device";
import { attention, linear, Tape } from "@moebius/runtime/ops";
import { scope } from "@moebius/runtime/tensor";
import type { BenchCase } from "./bench-case.ts";
import { randomTensor } from "./random.ts";

const [B, A, T, D] = [4, 8, 512, 32];
/** Two products over the lower triangle of the scores. */
const FLOPS = 2 * 2 * B * A * ((T * (T + 1)) / 2) * D;

const attentionCase = (backward: boolean): BenchCase => ({
  name: `attention ${backward ? "backward" : "forward"} B${B} heads ${A} T${T} d${D} causal`,
  prepare(device: Device) {
    const [q, k, v] = ["q", "k", "v"].map((name) => randomTensor(device, name, [B, T, A, D])) as [
      ReturnType<typeof randomTensor>,
      ReturnType<typeof randomTensor>,
      ReturnType<typeof randomTensor>,
    ];
    const seed = randomTensor(device, "seed", [B, T, A, D]);
    const x = randomTensor(device, "x", [512, 512]);
    const w = randomTensor(device, "w", [512, 512]);
    const forward = () => attention(q, k, v, { causal: true });
    const both = () => {
      const tape = new Tape([q, k, v]);
      const out = tape.run(forward);
      for (const gradient of tape.backward(out, seed).values()) gradient.dispose();
    };
    return {
      run: () => scope(() => void (backward ? both() : forward())),
      // The backward pass makes five products of which two repeat the forward's; it is timed together with the forward.
      work: { flops: backward ? 3.5 * FLOPS : FLOPS },
      reference: { name: "gemm 512x512x512", run: () => scope(() => void linear(x, w)), work: { flops: 2 * 512 ** 3 } },
      owned: [q, k, v, seed, x, w],
    };
  },
});

export const attentionCases = [attentionCase(false), attentionCase(true)];
