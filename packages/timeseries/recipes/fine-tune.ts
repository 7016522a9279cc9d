// Trains on the train rows of one benchmark, from a checkpoint or from scratch, and scores the test rows.
//   npm run dev -- packages/timeseries/recipes/fine-tune.ts --benchmark ETTh1 --data <folder with ett/> [--from <model>] [--dense] …
// The weights with the best validation error (some windows, moving average of the weights) are kept and scored.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { requestDevice } from "@moebius/runtime/device";
import { evaluate, TimeMoe, type TimeMoeConfigInput, trainTimeMoe } from "@moebius/timeseries";
import { type Benchmark, bikeSharing, ett } from "./benchmarks.ts";
import { report } from "./report.ts";

const { values } = parseArgs({
  options: {
    benchmark: { type: "string", default: "bike-sharing" },
    data: { type: "string", default: "" },
    from: { type: "string" },
    dense: { type: "boolean", default: false },
    steps: { type: "string", default: "300" },
    "learning-rate": { type: "string", default: "5e-4" },
    context: { type: "string", default: "512" },
    share: { type: "string", default: "1" },
    horizons: { type: "string", default: "96,192" },
    folder: { type: "string", default: "runs/fine-tune" },
    stride: { type: "string", default: "1" },
    seed: { type: "string", default: "1" },
    every: { type: "string", default: "50" },
    mixed: { type: "boolean", default: false },
    units: { type: "string", default: "series" },
  },
});
const context = Number(values.context);
const errorUnits = (["window", "series"] as const).find((units) => units === values.units);
if (!errorUnits) throw new Error(`--units is "${values.units}", expected window or series`);
const horizons = values.horizons.split(",").map(Number);

const benchmark: Benchmark =
  values.benchmark === "bike-sharing"
    ? await bikeSharing()
    : await ett(path.join(values.data, "ett"), values.benchmark as "ETTh1" | "ETTh2");

/** The dense twin has one feed-forward as wide as what a token uses of the MoE: the shared expert and two routed ones. */
const CONFIG: TimeMoeConfigInput = {
  hidden_size: 128,
  intermediate_size: values.dense ? 512 : 256,
  use_dense: values.dense,
  num_experts: 8,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  horizon_lengths: [1, 24, 96, 192],
  initializer_range: 0.08,
};

using device = await requestDevice();
using model =
  values.from === undefined
    ? TimeMoe.fromConfig(device, CONFIG, { seed: Number(values.seed) })
    : await TimeMoe.fromPretrained(values.from, { device });
console.log(`${benchmark.name}: ${model.numParameters} parameters${values.dense ? ", dense" : ""}`);

const score = (range: readonly [number, number], horizon: number, stride: number) =>
  evaluate(model, benchmark.series, { horizon, context, range, stride });
/** Beside the weights, so that a resumed run knows what to beat. */
const bestFile = path.join(values.folder, "best.json");
const best = existsSync(bestFile)
  ? (JSON.parse(readFileSync(bestFile, "utf8")) as { step: number; error: number })
  : { step: 0, error: Number.POSITIVE_INFINITY };
async function validate(step: number): Promise<{ validation: number }> {
  let error = 0;
  for (const horizon of horizons) error += (await score(benchmark.validation, horizon, 97)).model.mse;
  console.log(`step ${step} validation MSE ${horizons.join("+")}: ${error.toFixed(4)}`);
  if (error < best.error) {
    Object.assign(best, { step, error });
    await model.save(`${values.folder}/best`);
    writeFileSync(bestFile, JSON.stringify(best));
  }
  return { validation: error };
}

const [from, to] = benchmark.train;
const steps = trainTimeMoe(model, {
  sources: [
    {
      weight: 1,
      mixed: values.mixed,
      errorUnits,
      series: benchmark.series.map((column) => column.subarray(from, to)),
    },
  ],
  steps: Number(values.steps),
  context,
  trainedShare: Number(values.share),
  learningRate: Number(values["learning-rate"]),
  averageDecay: 0.98,
  evaluate: (step) => validate(step + 1),
  evaluateEvery: Number(values.every),
  seed: Number(values.seed),
  folder: values.folder,
  resume: true,
});
for await (const step of steps) report(step);

using chosen = await TimeMoe.fromPretrained(`${values.folder}/best`, { device });
for (const horizon of horizons) {
  const {
    model: ours,
    seasonalNaive,
    windows,
  } = await evaluate(chosen, benchmark.series, {
    horizon,
    context,
    range: benchmark.test,
    stride: Number(values.stride),
  });
  console.log(
    `${benchmark.name} ${horizon}, step ${best.step}: MSE ${ours.mse.toFixed(4)} MAE ${ours.mae.toFixed(4)}; same hour yesterday ${seasonalNaive.mse.toFixed(4)} (${windows} windows, stride ${values.stride})`,
  );
}
