import { addExamples, type Command, positiveInteger, printJson, probability, type SharedOptions } from "@moebius/cli";
import { futureTimestamps } from "@moebius/data";
import type { Forecast } from "@moebius/timeseries";
import { backtest } from "./backtest.ts";
import { type Outcome, printForecasts, type ReportOptions, toJson, writeFiles } from "./forecast-report.ts";
import { pretrained, withModel } from "./load-model.ts";
import { addInputOptions, addModelOptions, checkOutputs, type InputOptions, type ModelOptions } from "./options.ts";
import { describeInput, expectLength, type Input, readSeries } from "./read-series.ts";

interface Options extends InputOptions, ModelOptions, SharedOptions, ReportOptions {
  intervals: number | false;
}

/** Points forecast of a series without a season. */
const SEASONLESS_HORIZON = 12;
const MIN_VALUES = 4;
/** A back-test for an interval sees at least this many points. */
const MIN_CONTEXT = 16;

export function addForecastCommand(program: Command): void {
  const command = addModelOptions(addInputOptions(program.command("forecast", { isDefault: true })))
    .description("forecast one or many series")
    .option("-n, --horizon <points>", "points to forecast (default: one season)", positiveInteger("--horizon"))
    .option(
      "--intervals <coverage>",
      "coverage of the interval, calibrated by back-tests on each series",
      probability("--intervals"),
      0.9,
    )
    .option("--no-intervals", "no interval: faster")
    .option(
      "--backtest <count>",
      "score so many forecasts of the past beside naive ones",
      positiveInteger("--backtest"),
    )
    .option("-o, --output <file>", "write the forecast as .csv or .json")
    .option("-p, --plot <file>", "draw history and forecast as .png or .svg")
    .option(
      "--explain-routing <file>",
      "draw which experts are used as .png or .svg, or write the routing trace as .jsonl",
    )
    .action(async (file: string, _: unknown, command: Command) => forecast(file, command.optsWithGlobals<Options>()));
  addExamples(command, [
    { command: "forecast sales.csv --column revenue --horizon 30 --plot sales.png", does: "forecast and draw a month" },
    { command: "cat sales.csv | forecast - --no-intervals --json", does: "read standard input, answer with JSON" },
    { command: "forecast stores.csv --id-column store --column sold --output next.csv", does: "a series a store" },
  ]);
}

async function forecast(file: string, options: Options): Promise<void> {
  await checkOutputs({
    "--output": [options.output, ["csv", "json"]],
    "--plot": [options.plot, ["png", "svg"]],
    "--explain-routing": [options.explainRouting, ["png", "svg", "jsonl"]],
  });
  const input = await readSeries(file, options);
  const season = Math.max(...input.series.map((one) => one.season));
  const horizon = options.horizon ?? (season > 1 ? season : SEASONLESS_HORIZON);
  checkLengths(input, horizon, options);
  if (!options.json) console.log(describeInput(input));
  const outcome = await withModel(
    options,
    (device, progress) => pretrained(options.model, device, progress),
    async ({ model, progress }): Promise<Outcome> => {
      const { series } = input;
      const { context } = options;
      const report = progress.report;
      report({ stage: "forecast", done: 0, total: series.length });
      const forecasts = await model.forecastMany(
        series.map(({ values }) => values),
        {
          horizon,
          ...(context === undefined ? {} : { context }),
          ...(options.intervals === false ? {} : { interval: options.intervals }),
          onProgress: report,
        },
      );
      const scores =
        options.backtest && (await backtest(model, input, { horizon, context, count: options.backtest, report }));
      if (options.explainRouting !== undefined) {
        const { explainRouting } = await import("./explain-routing.ts");
        await explainRouting(model, series, options.explainRouting, context);
      }
      return {
        input,
        horizon,
        ...(options.intervals === false ? {} : { interval: options.intervals }),
        results: series.map((one, i) => ({
          series: one,
          forecast: forecasts[i] as Forecast,
          times: futureTimestamps(one, horizon),
        })),
        ...(scores ? { backtest: scores } : {}),
      };
    },
  );
  await writeFiles(outcome, options);
  if (options.json) printJson(toJson(outcome));
  else printForecasts(outcome, options);
}

function checkLengths(input: Input, horizon: number, { intervals, backtest }: Options): void {
  expectLength(input, MIN_VALUES, `a forecast needs at least ${MIN_VALUES}; give more rows`);
  if (intervals !== false)
    expectLength(
      input,
      horizon + MIN_CONTEXT,
      `an interval over a horizon of ${horizon} needs at least ${horizon + MIN_CONTEXT}; give more rows, a shorter --horizon or --no-intervals`,
    );
  if (backtest !== undefined)
    expectLength(
      input,
      horizon + MIN_CONTEXT,
      `a back-test of horizon ${horizon} needs at least ${horizon + MIN_CONTEXT}; give more rows or a shorter --horizon`,
    );
}
