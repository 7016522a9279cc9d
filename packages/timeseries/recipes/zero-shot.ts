// Scores a checkpoint on data it never saw: ETTh1, ETTh2 and M4 hourly, beside the seasonal naive forecast.
//   npm run dev -- packages/timeseries/recipes/zero-shot.ts <data folder> [model folder] [stride]
import path from "node:path";
import { mase, seasonalNaive, smape } from "@moebius/data";
import { requestDevice } from "@moebius/runtime/device";
import { evaluate, TimeMoe } from "@moebius/timeseries";
import { ett, m4 } from "./benchmarks.ts";

const [data = "", folder = "", stride = "1"] = process.argv.slice(2);
const CONTEXT = 512;

using device = await requestDevice();
using model = await TimeMoe.fromPretrained(folder, { device });

for (const name of ["ETTh1", "ETTh2"] as const)
  for (const horizon of [96, 192]) {
    const { series, test } = await ett(path.join(data, "ett"), name);
    const {
      model: ours,
      seasonalNaive: naive,
      windows,
    } = await evaluate(model, series, { horizon, context: CONTEXT, range: test, stride: Number(stride) });
    console.log(
      `${name} ${horizon}: MSE ${ours.mse.toFixed(4)} MAE ${ours.mae.toFixed(4)}; same hour yesterday ${naive.mse.toFixed(4)} / ${naive.mae.toFixed(4)} (${windows} windows)`,
    );
  }

const hourly = await m4(path.join(data, "m4"), "Hourly");
const horizon = 48;
const forecasts = await model.forecastMany(
  hourly.map(({ past }) => past),
  { horizon, context: CONTEXT },
);
const average = (score: (forecast: ArrayLike<number>, i: number) => number, of: (i: number) => ArrayLike<number>) =>
  hourly.reduce((sum, _, i) => sum + score(of(i), i), 0) / hourly.length;
const scores = (of: (i: number) => ArrayLike<number>) => {
  const percentage = average((forecast, i) => smape(forecast, hourly[i]?.future ?? []), of);
  const scaled = average((forecast, i) => mase(forecast, hourly[i]?.future ?? [], hourly[i]?.past ?? [], 24), of);
  return `sMAPE ${percentage.toFixed(3)} MASE ${scaled.toFixed(3)}`;
};
console.log(
  `M4 hourly 48: ${scores((i) => forecasts[i]?.mean ?? [])}; seasonal naive ${scores((i) => seasonalNaive(hourly[i]?.past ?? [], horizon, 24))}`,
);
