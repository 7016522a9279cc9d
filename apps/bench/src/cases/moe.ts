import type { Device } from "@moebius/runtime/device";
import { MoeLayer, SwigluExperts, TopKRouter } from "@moebius/runtime/moe";
import { linear, Tape } from "@moebius/runtime/ops";
import { RandomKey, scope } from "@moebius/runtime/tensor";
import type { BenchCase, Fact, Run, Work } from "./bench-case.ts";
import { randomTensor } from "./random.ts";

interface LayerSizes {
  tokens: number;
  hiddenSize: number;
  intermediateSize: number;
  numExperts: number;
  topK: number;
}

/** The layer of the peers' comparison. */
const LAYER: LayerSizes = { tokens: 256, hiddenSize: 256, intermediateSize: 512, numExperts: 8, topK: 2 };

const MAX_DISPATCHES = 6;

interface PreparedLayer {
  forward: Run;
  forwardWork: Work;
  training: Run;
  trainingWork: Work;
  owned: Disposable[];
}

/** A dropless SwiGLU layer and its two runs. */
export function prepareLayer(device: Device, sizes: LayerSizes = LAYER): PreparedLayer {
  const { tokens, hiddenSize, intermediateSize, numExperts, topK } = sizes;
  const layer = new MoeLayer(device, {
    router: new TopKRouter(device, { hiddenSize, numExperts, topK, normalizeTopK: true }),
    experts: new SwigluExperts(device, { hiddenSize, numExperts, intermediateSize }),
  }).initialize(new RandomKey(0));
  const x = randomTensor(device, "x", [tokens, hiddenSize]);
  const seed = randomTensor(device, "seed", [tokens, hiddenSize]);
  const flops = 2 * tokens * topK * 3 * hiddenSize * intermediateSize;
  return {
    forward: () => scope(() => void layer.forward(x)),
    forwardWork: { flops },
    training: () =>
      scope(() => {
        const tape = new Tape([x, ...layer.parameters().values()]);
        const { y } = tape.run(() => layer.forward(x));
        for (const gradient of tape.backward(y, seed).values()) gradient.dispose();
      }),
    trainingWork: { flops: 3 * flops },
    owned: [layer, x, seed],
  };
}

export function layerName(what: "forward" | "forward + backward", sizes: LayerSizes = LAYER): string {
  const { tokens, hiddenSize, intermediateSize, numExperts, topK } = sizes;
  return `MoE layer ${what} T${tokens} D${hiddenSize} H${intermediateSize} E${numExperts} k${topK}`;
}

const forwardCase: BenchCase = {
  name: layerName("forward"),
  prepare(device) {
    const { forward, forwardWork, owned } = prepareLayer(device);
    const rows = randomTensor(device, "rows", [LAYER.tokens * LAYER.topK, LAYER.hiddenSize]);
    const weight = randomTensor(device, "weight", [3 * LAYER.intermediateSize, LAYER.hiddenSize]);
    return {
      run: forward,
      work: forwardWork,
      references: [
        {
          name: "dense gemm of the same flops",
          run: () => scope(() => void linear(rows, weight)),
          work: forwardWork,
          goal: device.adapterClass === "hardware" ? 0.8 : undefined,
        },
      ],
      facts: [dispatchesFact(device, forward)],
      owned: [...owned, rows, weight],
    };
  },
};

/** Each dispatch costs the host some microseconds, and the device a wait for the one before. */
const dispatchesFact = (device: Device, run: Run): Fact => ({
  name: `${MAX_DISPATCHES} dispatches`,
  goal: 1,
  ratio: async () => {
    const before = device.counters.dispatches;
    run();
    await device.finish();
    return MAX_DISPATCHES / (device.counters.dispatches - before);
  },
});

/** Forward and backward make three times the products of a forward pass; they may take as long as 3.3. */
const trainingCase: BenchCase = {
  name: layerName("forward + backward"),
  prepare(device) {
    const { forward, forwardWork, training, trainingWork, owned } = prepareLayer(device);
    return {
      run: training,
      work: trainingWork,
      references: [{ name: "own forward", run: forward, work: forwardWork, goal: 3 / 3.3 }],
      owned,
    };
  },
};

/** Many experts of the same size: the work of each token stays the same. */
const expertsCase: BenchCase = {
  name: layerName("forward", { ...LAYER, tokens: 2048, numExperts: 64 }),
  prepare(device) {
    const many = prepareLayer(device, { ...LAYER, tokens: 2048, numExperts: 64 });
    const few = prepareLayer(device, { ...LAYER, tokens: 2048 });
    return {
      run: many.forward,
      work: many.forwardWork,
      references: [{ name: "the same with 8 experts", run: few.forward, work: few.forwardWork, goal: 1 / 1.2 }],
      owned: [...many.owned, ...few.owned],
    };
  },
};

export const moeCases = [forwardCase, trainingCase, expertsCase];
