import { profile, requestDevice, writeTrace } from "@moebius/runtime/device";
import { scope, tensor } from "@moebius/runtime/tensor";
import { TIME_MOE_CONFIGS, TimeMoe } from "@moebius/timeseries";

using device = await requestDevice();
using model = TimeMoe.fromConfig(device, TIME_MOE_CONFIGS["TimeMoE-50M"]);
using values = tensor(device, new Float32Array(512), [1, 512]);

const report = await profile(device, () => scope(() => void model.forward(values)));
console.table(report.kernels);
await writeTrace(report, "trace.json");
