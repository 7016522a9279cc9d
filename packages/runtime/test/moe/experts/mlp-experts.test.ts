import { checkOp, testDevice } from "@moebius/testing";
import { describe, test } from "vitest";
import { MlpExperts, planTopK, sparseRouting } from "../../../src/moe/index.ts";
import { tensor } from "../../../src/tensor/index.ts";
import { moduleAsOp } from "../module-as-op.ts";

const device = await testDevice();

describe("MlpExperts", () => {
  test("adds both biases, weighted, where an assignment found room", async () => {
    const [N, K, H, F, E] = [5, 2, 3, 4, 3];
    const choices = [0, 2, 2, 1, 2, 0, 1, 2, 2, 0];
    const weights = Float32Array.from(choices, (_, i) => 0.1 * (i + 1));
    const capacity = 3; // expert 2 has five: the last two are dropped
    const indices = tensor(device, Uint32Array.from(choices), [N, K]);
    const w = tensor(device, weights, [N, K]);
    using experts = new MlpExperts(device, {
      numExperts: E,
      hiddenSize: H,
      intermediateSize: F,
      activation: "relu",
      bias: true,
    });
    const plan = planTopK(indices, w, { numExperts: E, capacity });
    const routing = { ...sparseRouting({ indices, weights: w, probs: w, logits: w, numExperts: E, capacity }), plan };
    const shapes = [...experts.parameters().values()].map(({ shape }) => ({ shape }));
    await checkOp(device, {
      op: moduleAsOp(experts, (x) => experts.forward(x, routing)),
      reference: (
        x,
        up = new Float64Array(),
        down = new Float64Array(),
        upBias = new Float64Array(),
        downBias = new Float64Array(),
      ) => {
        const y = new Float64Array(N * H);
        const taken = new Array<number>(E).fill(0);
        for (const [a, e] of choices.entries()) {
          taken[e] = (taken[e] ?? 0) + 1;
          if ((taken[e] as number) > capacity) continue;
          const n = Math.floor(a / K);
          const hidden = Array.from({ length: F }, (_, f) => {
            let sum = upBias[e * F + f] as number;
            for (let h = 0; h < H; h++) sum += (up[(e * F + f) * H + h] as number) * (x[n * H + h] as number);
            return Math.max(sum, 0);
          });
          for (let h = 0; h < H; h++) {
            const out = hidden.reduce(
              (sum, v, f) => sum + v * (down[(e * H + h) * F + f] as number),
              downBias[e * H + h] as number,
            );
            y[n * H + h] = (y[n * H + h] as number) + (weights[a] as number) * out;
          }
        }
        return y;
      },
      inputs: [{ shape: [N, H] }, ...shapes],
      step: 1e-5,
    });
  });
});
