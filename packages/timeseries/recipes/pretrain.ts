// Makes the checkpoint that comes with the package: pretrained/general.
//   npm run dev -- packages/timeseries/recipes/pretrain.ts [--folder runs/general] [--steps 1200] [--late-steps 1500] [--out packages/timeseries/pretrained/general]
// Two runs: all positions of long contexts, then the late positions of long and short ones; --from starts with the second, at a model
// of the first. Resumes what is in the folders. About an hour on two cores with lavapipe. ETT and M4 are not among its sources.
import { parseArgs } from "node:util";
import { type Device, requestDevice } from "@moebius/runtime/device";
import { TimeMoe, type TrainTimeMoeOptions, trainTimeMoe } from "@moebius/timeseries";
import { extendHeads } from "./extend-heads.ts";
import { bikeSharingTrain, packagedSeries } from "./real-series.ts";
import { report } from "./report.ts";

const { values } = parseArgs({
  options: {
    folder: { type: "string", default: "runs/general" },
    from: { type: "string" },
    steps: { type: "string", default: "1200" },
    "late-steps": { type: "string", default: "1500" },
    out: { type: "string", default: "packages/timeseries/pretrained/general" },
  },
});

const shared = {
  sources: [
    { weight: 0.75 }, // synthetic
    { weight: 0.17, mixed: true, series: await bikeSharingTrain() },
    { weight: 0.08, mixed: true, series: await packagedSeries() },
  ],
  batchSize: 8,
  warmupSteps: 100,
  averageDecay: 0.99,
  seed: 1,
  resume: true,
} satisfies Partial<TrainTimeMoeOptions>;

using device = await requestDevice();
using model = values.from ? await TimeMoe.fromPretrained(values.from, { device }) : await trainAllPositions(device);
console.log(`${model.numParameters} parameters`);
const late = trainTimeMoe(model, {
  ...shared,
  steps: Number(values["late-steps"]),
  context: [128, 256, 512, 512],
  trainedShare: 0.25,
  learningRate: 1e-3,
  folder: `${values.folder}-late`,
});
for await (const step of late) report(step);
await model.save(values.out, { dtype: "bfloat16" });
console.log(`saved ${values.out}`);

async function trainAllPositions(device: Device): Promise<TimeMoe> {
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
  const steps = trainTimeMoe(model, {
    ...shared,
    steps: Number(values.steps),
    learningRate: 2e-3,
    folder: values.folder,
  });
  for await (const step of steps) report(step);
  return extendHeads(model, [1, 24, 48, 96, 168, 192]);
}
