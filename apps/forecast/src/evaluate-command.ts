import { type Command, createProgress, listOf, number, positiveInteger, printJson, printTable } from "@moebius/cli";
import { measureScale, standardise } from "@moebius/data";
import { type Evaluation, evaluate } from "@moebius/timeseries";
import { loadModel } from "./load-model.ts";
import {
  addInputOptions,
  addModelOptions,
  type InputOptions,
  type ModelOptions,
  type SharedOptions,
} from "./options.ts";
import { describeSeries, readSeries, seasonOf } from "./read-series.ts";

interface Options extends InputOptions, ModelOptions, SharedOptions {
  horizons?: number[];
  stride: number;
  testShare: number;
  standardise: boolean;
}

export function addEvaluateCommand(program: Command): void {
  addModelOptions(addInputOptions(program.command("evaluate")))
    .description("score rolling forecasts of the last part of the series, beside naive ones")
    .option(
      "--horizons <points>",
      "horizons, separated by commas (default: one season)",
      listOf("--horizons", positiveInteger("--horizons")),
    )
    .option("--stride <points>", "points between forecasts", positiveInteger("--stride"), 24)
    .option(
      "--test-share <share>",
      "share of each series, at its end, that is forecast",
      number("--test-share", { min: 0.001, max: 1 }),
      0.2,
    )
    .option("--standardise", "scale by mean and deviation of the part before, as benchmarks do", false)
    .action(async (file: string, _: unknown, command: Command) => run(file, command.optsWithGlobals<Options>()));
}

async function run(file: string, options: Options): Promise<void> {
  using progress = createProgress({ quiet: options.quiet || options.json });
  const series = await readSeries(file, options);
  for (const one of series) progress.say(describeSeries(one));
  const length = Math.min(...series.map(({ values }) => values.length));
  const border = Math.floor(length * (1 - options.testShare));
  const values = series.map(({ values }) =>
    options.standardise ? standardise(values, measureScale(values, 0, border)) : values,
  );
  const season = Math.max(...series.map(seasonOf));
  const { device, model } = await loadModel(options, progress);
  try {
    const evaluations: Evaluation[] = [];
    for (const horizon of options.horizons ?? [Math.max(season, 12)]) {
      const context = options.context ?? Math.min(512, border, model.config.max_position_embeddings - horizon);
      evaluations.push(
        await evaluate(model, values, {
          horizon,
          context,
          season,
          range: [border, length],
          stride: options.stride,
          onProgress: progress.report,
        }),
      );
    }
    progress.end();
    if (options.json) printJson(evaluations);
    else
      printTable(
        ["horizon", "method", "windows", "MSE", "MAE", "MASE", "sMAPE"].map((header) => ({ header })),
        evaluations.flatMap(({ horizon, windows, model, seasonalNaive, naive }) =>
          Object.entries({ model, "seasonal naive": seasonalNaive, naive }).map(([method, score]) => [
            horizon,
            method,
            windows,
            score.mse,
            score.mae,
            score.mase,
            score.smape,
          ]),
        ),
      );
  } finally {
    model[Symbol.dispose]();
    await device.finish();
    device[Symbol.dispose]();
  }
}
