import type { Device } from "@moebius/runtime/device";
import { Tape } from "@moebius/runtime/ops";
import { adamw } from "@moebius/runtime/optim";
import { scope } from "@moebius/runtime/tensor";
import { generate, TimeMoe } from "@moebius/timeseries";
import type { BenchCase } from "./bench-case.ts";
import { randomTensor } from "./random.ts";

/** 1.7 million parameters, of which 0.8 million are active. */
const CONFIG = {
  hidden_size: 128,
  intermediate_size: 256,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  horizon_lengths: [1, 8, 32, 64],
};

const forecastCase: BenchCase = {
  name: "Time-MoE forecast, batch 1, context 512, horizon 96",
  prepare(device: Device) {
    const model = TimeMoe.fromConfig(device, CONFIG);
    const values = randomTensor(device, "values", [1, 512]);
    const work = { tokens: 96 };
    return {
      run: () => generate(model, values, { horizon: 96 }).dispose(),
      work,
      reference: {
        name: "the same without a key/value cache",
        run: () => generate(model, values, { horizon: 96, useCache: false }).dispose(),
        work,
      },
      owned: [model, values],
    };
  },
};

const trainingCase: BenchCase = {
  name: "Time-MoE training step, 1.7 M parameters, batch 8 x 256",
  prepare(device: Device) {
    const model = TimeMoe.fromConfig(device, CONFIG);
    const parameters = model.parameters();
    const optimizer = adamw({ learningRate: 1e-4, clipNorm: 1 }).bind(parameters);
    const values = randomTensor(device, "values", [8, 256]);
    const forward = () => model.loss({ values, labels: values }).loss;
    return {
      run: () =>
        scope(() => {
          const tape = new Tape(parameters.values());
          const gradients = tape.backward(tape.run(forward));
          optimizer.step(gradients, 0, 1);
          for (const gradient of gradients.values()) gradient.dispose();
        }),
      work: { tokens: 2048 },
      reference: { name: "own forward", run: () => scope(() => void forward()), work: { tokens: 2048 } },
      owned: [model, optimizer, values],
    };
  },
};

export const timeMoeCases = [forecastCase, trainingCase];
