import type { Device } from "@moebius/runtime/device";
import { MoeLayer, planTopK, SwigluExperts, TopKRouter } from "@moebius/runtime/moe";
import { expandLinear, linear, Tape } from "@moebius/runtime/ops";
import { RandomKey, scope, tensor } from "@moebius/runtime/tensor";
import type { BenchCase } from "./bench-case.ts";
import { randomTensor } from "./random.ts";

/** The layer of the peers' comparison: 256 tokens, width 256, 8 experts of 512, top-2, SwiGLU. */
const LAYER = { tokens: 256, hiddenSize: 256, intermediateSize: 512, numExperts: 8, topK: 2 };

function layerCase(
  { tokens, hiddenSize, intermediateSize, numExperts, topK }: typeof LAYER,
  backward: boolean,
): BenchCase {
  return {
    name: `MoE layer ${backward ? "forward + backward" : "forward"} T${tokens} D${hiddenSize} F${intermediateSize} E${numExperts} k${topK}`,
    prepare(device: Device) {
      const layer = new MoeLayer(device, {
        router: new TopKRouter(device, { hiddenSize, numExperts, topK, normalizeTopK: true }),
        experts: new SwigluExperts(device, { hiddenSize, numExperts, intermediateSize }),
      }).initialize(new RandomKey(0));
      const x = randomTensor(device, "x", [tokens, hiddenSize]);
      const seed = randomTensor(device, "seed", [tokens, hiddenSize]);
      const flops = 2 * tokens * topK * 3 * hiddenSize * intermediateSize;
      const forward = () => scope(() => void layer.forward(x));
      const both = () =>
        scope(() => {
          const tape = new Tape([x, ...layer.parameters().values()]);
          const { y } = tape.run(() => layer.forward(x));
          for (const gradient of tape.backward(y, seed).values()) gradient.dispose();
        });
      const rows = randomTensor(device, "rows", [tokens * topK, hiddenSize]);
      const weight = randomTensor(device, "weight", [3 * intermediateSize, hiddenSize]);
      return {
        run: backward ? both : forward,
        work: { flops: backward ? 3 * flops : flops },
        reference: backward
          ? { name: "own forward", run: forward, work: { flops } }
          : {
              name: "dense GEMM of the same flops",
              run: () => scope(() => void linear(rows, weight)),
              work: { flops },
            },
        owned: [layer, x, seed, rows, weight],
      };
    },
  };
}

/** Eight experts that get 4:2:1:1:0:0:0:0 of 512 rows, against one dense product of as many rows. */
const groupedCase: BenchCase = {
  name: "grouped GEMM 8 experts, 512 rows as 4:2:1:1:0:0:0:0, 512 to 512",
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
      reference: { name: "dense GEMM of the same flops", run: () => scope(() => void linear(x, weight)), work },
      owned: [indices, x, bank, weight, ones],
    };
  },
};

export const moeCases = [groupedCase, layerCase(LAYER, false), layerCase(LAYER, true)];
