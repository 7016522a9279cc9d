// Makes the checkpoint that comes with the package: pretrained/general.
//   npm run dev -- packages/timeseries/recipes/pretrain.ts [--folder runs/general] [--steps 1200] [--out packages/timeseries/pretrained/general]
// Resumes what is in the folder. About 25 minutes on two cores with lavapipe. ETT and M4 are not among its sources.
import { parseArgs } from "node:util";
import { requestDevice } from "@moebius/runtime/device";
import { TimeMoe, trainTimeMoe } from "@moebius/timeseries";
import { extendHeads } from "./extend-heads.ts";
import { bikeSharingTrain, packagedSeries } from "./real-series.ts";
import { report } from "./report.ts";

const { values } = parseArgs({
  options: {
    folder: { type: "string", default: "runs/general" },
    steps: { type: "string", default: "1200" },
    out: { type: "string", default: "packages/timeseries/pretrained/general" },
  },
});

using device = await requestDevice();
using model = TimeMoe.fromConfig(
  device,
  {
    hidden_size: 128,
    intermediate_size: 256,
    num_experts: 8,
    num_hidden_layers: 3,
    num_attention_heads: 4,
    horizon_lengths: [1, 24, 96, 192],
    // A scalar input spans a low-dimensional space: with the published 0.02 the first norm would see its epsilon alone.
    initializer_range: 0.08,
  },
  { seed: 1 },
);
console.log(`${model.numParameters} parameters`);

const steps = trainTimeMoe(model, {
  sources: [
    { weight: 0.75 }, // synthetic
    { weight: 0.17, mixed: true, series: await bikeSharingTrain() },
    { weight: 0.08, mixed: true, series: await packagedSeries() },
  ],
  steps: Number(values.steps),
  batchSize: 8,
  learningRate: 2e-3,
  warmupSteps: 100,
  averageDecay: 0.99,
  seed: 1,
  folder: values.folder,
  resume: true,
});
for await (const step of steps) report(step);
using extended = await extendHeads(model, [1, 24, 48, 96, 168, 192]);
await extended.save(values.out, { dtype: "bfloat16" });
console.log(`saved ${values.out}`);
