import { requestDevice } from "@moebius/runtime/device";
import { TIME_MOE_CONFIGS, TimeMoe, trainTimeMoe } from "@moebius/timeseries";

const series = [Float64Array.from({ length: 5000 }, (_, hour) => Math.sin((2 * Math.PI * hour) / 24))];

using device = await requestDevice();
using model = TimeMoe.fromConfig(device, {
  ...TIME_MOE_CONFIGS["TimeMoE-50M"],
  hidden_size: 96,
  intermediate_size: 384,
});

const run = trainTimeMoe(model, { sources: [{ series, weight: 1 }], steps: 2000, folder: "runs/a", resume: true });
for await (const step of run) console.log(step.step, step.loss, step.expertLoad);

await model.save("models/a");
