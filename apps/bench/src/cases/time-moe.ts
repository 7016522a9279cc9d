import { type Device, profile } from "@moebius/runtime/device";
import { Tape } from "@moebius/runtime/ops";
import { adamw } from "@moebius/runtime/optim";
import { scope } from "@moebius/runtime/tensor";
import { countParameters, generate, TimeMoe } from "@moebius/timeseries";
import type { BenchCase, Fact, Run } from "./bench-case.ts";
import { javascriptFact } from "./javascript.ts";
import { randomTensor } from "./random.ts";

/** 2.0 million parameters, of which 0.9 million are active. */
const CONFIG = {
  hidden_size: 128,
  intermediate_size: 320,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_experts: 8,
  num_experts_per_tok: 2,
  horizon_lengths: [1, 8, 32, 64],
};
const BATCH = { batchSize: 16, length: 512 };

const forecastCase: BenchCase = {
  name: "Time-MoE forecast, batch 1, context 512, horizon 96",
  prepare(device: Device) {
    const model = TimeMoe.fromConfig(device, CONFIG);
    const values = randomTensor(device, "values", [1, 512]);
    const work = { tokens: 96 };
    const run = (useCache: boolean) => () => generate(model, values, { horizon: 96, useCache }).dispose();
    return {
      run: run(true),
      work,
      references: [{ name: "the same without a key/value cache", run: run(false), work }],
      owned: [model, values],
    };
  },
};

const trainingCase: BenchCase = {
  name: `Time-MoE training step, 2 M parameters, batch ${BATCH.batchSize} x ${BATCH.length}`,
  prepare(device: Device) {
    const model = TimeMoe.fromConfig(device, CONFIG);
    const parameters = model.parameters();
    const optimizer = adamw({ learningRate: 1e-4, clipNorm: 1 }).bind(parameters);
    const values = randomTensor(device, "values", [BATCH.batchSize, BATCH.length]);
    const run = () =>
      scope(() => {
        const tape = new Tape(parameters.values());
        const gradients = tape.backward(tape.run(() => model.loss({ values, labels: values }).loss));
        optimizer.step(gradients, 0, 1);
        for (const gradient of gradients.values()) gradient.dispose();
      });
    return {
      run,
      work: { tokens: BATCH.batchSize * BATCH.length },
      facts: [productsFact(device, run), javascriptFact(device, run, 0.08), memoryFact(device, run)],
      owned: [model, optimizer, values],
    };
  },
};

/** Share of the kernels' time that goes into products, the packing of their operands included. */
const productsFact = (device: Device, run: Run): Fact => ({
  name: "its products",
  goal: 0.6,
  ratio: async () => {
    const { kernels, totalMs } = await profile(device, run);
    const products = kernels.filter(({ kernel }) => /^(gemm|gemv|panels)/.test(kernel));
    return products.reduce((sum, { ms }) => sum + ms, 0) / totalMs;
  },
});

const memoryFact = (device: Device, run: Run): Fact => ({
  name: "device memory by formula",
  goal: 1 / 1.2,
  ratio: async () => {
    await device.finish();
    device.trim();
    run();
    await device.finish();
    return trainingBytes() / device.memory.use.allocatedBytes;
  },
});

/**
 * What a training step needs: 16 bytes a parameter (weight, gradient, two moments) and what the tape saves of each of the N tokens:
 * in a layer two residual streams, two norms, q, k, v, the mixed values and the shared expert's output (9 D), and gate, up and
 * their product of the K routed experts and of the shared one (6 F); before and after the layers 4 D, and a prediction a head.
 */
function trainingBytes(): number {
  const { hidden_size: D, intermediate_size: F, num_hidden_layers: L, horizon_lengths } = CONFIG;
  const predictions = horizon_lengths.reduce((sum, horizon) => sum + horizon, 0);
  const activations = L * (9 * D + 6 * F) + 4 * D + predictions;
  return 16 * countParameters(CONFIG).total + 4 * BATCH.batchSize * BATCH.length * activations;
}

export const timeMoeCases = [forecastCase, trainingCase];
