import { KvCache } from "@moebius/runtime/decode";
import { type Device, profile, type Storage } from "@moebius/runtime/device";
import { MoeLayer, SwigluExperts, TopKRouter } from "@moebius/runtime/moe";
import { DecoderBlock, type Parameter } from "@moebius/runtime/nn";
import { ones, rotaryTables } from "@moebius/runtime/ops";
import { RandomKey, scope, type Tensor } from "@moebius/runtime/tensor";
import type { BenchCase } from "./bench-case.ts";
import { javascriptFact } from "./javascript.ts";
import { laboratoryGemv } from "./laboratory.ts";
import { randomTensor } from "./random.ts";

const SIZES = { layers: 8, hiddenSize: 512, numHeads: 8, intermediateSize: 512, numExperts: 16, topK: 2 };
/** Positions before the one that is decoded. */
const POSITION = 64;

/** What one token touches: attention, router and norms of each layer, and its experts. */
const ACTIVE = {
  matrices: SIZES.layers * (4 * SIZES.hiddenSize ** 2 + SIZES.topK * 3 * SIZES.hiddenSize * SIZES.intermediateSize),
  routersAndNorms: SIZES.layers * (SIZES.numExperts * SIZES.hiddenSize + 2 * SIZES.hiddenSize),
};

/** A decoder without embedding and head: what each step reads. */
function prepareDecoder(device: Device, storage: Storage) {
  const { hiddenSize, numHeads, numExperts, topK, intermediateSize } = SIZES;
  const layers = Array.from({ length: SIZES.layers }, () => ({
    block: new DecoderBlock(device, { hiddenSize, numHeads }),
    moe: new MoeLayer(device, {
      router: new TopKRouter(device, { hiddenSize, numExperts, topK }),
      experts: new SwigluExperts(device, { hiddenSize, numExperts, intermediateSize }),
    }),
  }));
  fill(
    layers.flatMap(({ block, moe }) => [...block.parameters().values(), ...moe.parameters().values()]),
    storage,
  );
  const headDim = hiddenSize / numHeads;
  const rotary = rotaryTables(device, { maxPositions: 2 * POSITION, dim: headDim });
  const cache = new KvCache(device, {
    numLayers: SIZES.layers,
    batchSize: 1,
    capacity: 2 * POSITION,
    numKeyValueHeads: numHeads,
    headDim,
  });
  const forward = (x: Tensor<"f32">) =>
    layers.reduce(
      (hidden, { block, moe }, i) =>
        block.forward(hidden, { ...rotary, cache: cache.layer(i) }, (h) => moe.forward(h).y),
      x,
    );
  const owned = [...layers.flatMap(({ block, moe }) => [block, moe]), rotary.cos, rotary.sin, cache];
  return { forward, cache, owned };
}

/** The same random numbers for all: drawing 100 M of them would take longer than the measurement. */
function fill(parameters: readonly Parameter[], storage: Storage): void {
  const largest = Math.max(...parameters.map(({ size }) => size));
  const values = new RandomKey(0).normal(largest).map((value) => 0.02 * value);
  for (const parameter of parameters) {
    const own = values.subarray(0, parameter.size);
    if (parameter.isMatrix) parameter.storeAs(storage, own);
    else parameter.write(own);
  }
}

const decodeCase = (storage: Storage, goal: number): BenchCase => ({
  name: `decode${storage === "32 bit" ? "" : ` ${storage}`}, batch 1, 8 layers, hidden 512, 16 experts of 512, top-2`,
  prepare(device: Device) {
    const { forward, cache, owned } = prepareDecoder(device, storage);
    const prompt = randomTensor(device, "prompt", [1, POSITION, SIZES.hiddenSize]);
    const x = randomTensor(device, "x", [1, 1, SIZES.hiddenSize]);
    scope(() => void forward(prompt));
    const step = device.capture(() => {
      cache.truncate(POSITION);
      return scope(() => forward(x));
    });
    const bytes = (storage === "32 bit" ? 4 : 2) * ACTIVE.matrices + 4 * ACTIVE.routersAndNorms;
    const row = randomTensor(device, "row", [1024]);
    const matrix = ones(device, [1024, 1024 * Math.round(bytes / 4 / 1024 ** 2)], "f32");
    return {
      run: () => step.replay(),
      work: { bytes },
      references: [
        {
          name: "laboratory, matrix-vector of the same bytes",
          run: () => scope(() => void laboratoryGemv(row, matrix)),
          work: { bytes: matrix.sizeBytes },
          goal: device.adapterClass === "hardware" ? 0.8 : goal,
        },
      ],
      facts: [
        javascriptFact(device, () => step.replay(), 0.15),
        {
          name: "weights that are read",
          goal: 1 / 1.15,
          ratio: async () => {
            const ideal = { flops: 2 * (ACTIVE.matrices + ACTIVE.routersAndNorms), weightBytes: bytes };
            const { sparsity } = await profile(device, () => step.replay(), { ideal });
            return sparsity?.weightBytes && 1 / sparsity.weightBytes;
          },
        },
      ],
      owned: [step, step.value, ...owned, prompt, x, row, matrix],
    };
  },
});

export const decodeCases = [decodeCase("32 bit", 0.6), decodeCase("f16", 0.5)];
