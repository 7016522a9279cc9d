import {
  type Command,
  checkChartFile,
  createProgress,
  forecastSpec,
  positiveInteger,
  printJson,
  printTable,
  probability,
  renderChart,
  terminalPlot,
  toCsv,
  UserError,
  writeAtomically,
} from "@moebius/cli";
import { formatTime, futureTimestamps, type Series, timestampsOf } from "@moebius/data";
import type { Forecast } from "@moebius/timeseries";
import { backtest } from "./backtest.ts";
import { explainRouting } from "./explain-routing.ts";
import { loadModel } from "./load-model.ts";
import {
  addInputOptions,
  addModelOptions,
  expectExtension,
  type InputOptions,
  type ModelOptions,
  type SharedOptions,
} from "./options.ts";
import { describeSeries, readSeries, seasonOf } from "./read-series.ts";

interface Options extends InputOptions, ModelOptions, SharedOptions {
  horizon?: number;
  intervals: number | false;
  output?: string;
  plot?: string;
  backtest?: number;
  explainRouting?: string;
}

/** A forecast of one series, ready to print. */
export interface Result {
  series: Series;
  forecast: Forecast;
  /** Stamps of the forecast points, ms since 1970, when the series has times. */
  times: Float64Array | undefined;
}

const HISTORY_SHOWN = 3;

export function addForecastCommand(program: Command): void {
  addModelOptions(addInputOptions(program.command("forecast", { isDefault: true })))
    .description("forecast one or many series")
    .option(
      "-n, --horizon <points>",
      "points to forecast (default: one season, such as 24 of hourly values)",
      positiveInteger("--horizon"),
    )
    .option(
      "--intervals <coverage>",
      "coverage of the interval, from back-tests on each series",
      probability("--intervals"),
      0.9,
    )
    .option("--no-intervals", "no interval: faster")
    .option("-o, --output <file>", "write the forecast as .csv or .json")
    .option("-p, --plot <file>", "draw history and forecast as .png or .svg")
    .option(
      "--backtest <count>",
      "score so many forecasts from the past beside naive ones",
      positiveInteger("--backtest"),
    )
    .option(
      "--explain-routing <file>",
      "draw which experts are used as .png or .svg, or write the routing trace as .jsonl",
    )
    .action(async (file: string, _: unknown, command: Command) => run(file, command.optsWithGlobals<Options>()));
}

async function run(file: string, options: Options): Promise<void> {
  expectExtension("--output", options.output, ["csv", "json"]);
  expectExtension("--explain-routing", options.explainRouting, ["png", "svg", "jsonl"]);
  if (options.plot) checkChartFile(options.plot);
  using progress = createProgress({ quiet: options.quiet || options.json });
  const series = await readSeries(file, options);
  for (const one of series) progress.say(describeSeries(one));
  const horizon = options.horizon ?? Math.max(...series.map(seasonOf), 12);
  const { device, model } = await loadModel(options, progress);
  try {
    const values = series.map((one) => one.values);
    const forecasts = await model.forecastMany(values, {
      horizon,
      ...(options.context === undefined ? {} : { context: options.context }),
      ...(options.intervals === false ? {} : { interval: options.intervals }),
      onProgress: progress.report,
    });
    const results = series.map((one, i) => ({
      series: one,
      forecast: forecasts[i] as Forecast,
      times: futureTimestamps(one, horizon),
    }));
    const scores =
      options.backtest === undefined
        ? undefined
        : await backtest(model, series, {
            horizon,
            count: options.backtest,
            context: options.context,
            onProgress: progress.report,
          });
    if (options.explainRouting) await explainRouting(model, series, options.explainRouting, options.context);
    progress.end();
    const written = await write(results, options);
    if (options.json) printJson({ horizon, series: results.map(toJson), ...(scores ? { backtest: scores } : {}) });
    else {
      for (const result of results) print(result);
      if (scores)
        printTable(
          [{ header: "back-test" }, { header: "windows" }, { header: "MAE" }, { header: "MASE" }, { header: "sMAPE" }],
          scores.map(({ method, windows, mae, mase, smape }) => [method, windows, mae, mase, smape]),
        );
      for (const line of written) console.log(line);
    }
  } finally {
    model[Symbol.dispose]();
    await device.finish();
    device[Symbol.dispose]();
  }
}

function rows({ forecast: { mean, lower, upper }, times }: Result): (string | number)[][] {
  return Array.from(mean, (value, h) => [
    times ? formatTime(times[h] as number) : h + 1,
    value,
    ...(lower && upper ? [lower[h] as number, upper[h] as number] : []),
  ]);
}

function headers({ forecast: { lower }, times }: Result): string[] {
  return [times ? "time" : "step", "forecast", ...(lower ? ["lower", "upper"] : [])];
}

function print(result: Result): void {
  const { series, forecast } = result;
  const horizon = forecast.mean.length;
  const past = series.values.subarray(-HISTORY_SHOWN * horizon);
  const stamps = timestampsOf(series);
  const label = (index: number) => (stamps ? formatTime(stamps[index] as number) : String(index + 1));
  const first = series.values.length - past.length;
  const end = result.times ? formatTime(result.times.at(-1) as number) : String(series.values.length + horizon);
  console.log(
    `\n${terminalPlot(past, forecast.mean, { title: series.id, labels: { start: label(first), forecast: result.times ? formatTime(result.times[0] as number) : String(series.values.length + 1), end } })}\n`,
  );
  printTable(
    headers(result).map((header) => ({ header })),
    rows(result),
    { maxRows: 24 },
  );
  if (forecast.constant)
    console.log(`note: the last values of ${series.id} are all the same, so the forecast repeats them`);
}

function toJson({ series, forecast: { mean, lower, upper, constant }, times }: Result) {
  return {
    id: series.id,
    ...(times ? { times: Array.from(times, formatTime) } : {}),
    mean: [...mean],
    ...(lower && upper ? { lower: [...lower], upper: [...upper] } : {}),
    constant,
    filled: series.filled,
  };
}

/** Writes what was asked for. @returns a line a file */
async function write(results: readonly Result[], { output, plot, intervals }: Options): Promise<string[]> {
  const written: string[] = [];
  const [first] = results;
  if (!first) throw new UserError("the file holds no series");
  if (output) {
    const several = results.length > 1;
    const columns = [...(several ? ["series"] : []), ...headers(first)];
    const lines = results.flatMap((result) =>
      rows(result).map((row) => [...(several ? [result.series.id] : []), ...row]),
    );
    await writeAtomically(
      output,
      output.endsWith(".json") ? `${JSON.stringify(results.map(toJson), null, 1)}\n` : toCsv(columns, lines),
    );
    written.push(`wrote ${output}`);
  }
  if (plot) {
    await renderChart(chart(results, intervals), plot);
    written.push(`drew ${plot}`);
  }
  return written;
}

function chart(results: readonly Result[], intervals: number | false) {
  return forecastSpec({
    title: results.length === 1 ? `Forecast of ${results[0]?.series.id}` : `Forecasts of ${results.length} series`,
    ...(intervals === false ? {} : { intervalName: `${Math.round(intervals * 100)} % interval` }),
    series: results.map(({ series, forecast: { mean, lower, upper }, times }) => {
      const stamps = timestampsOf(series);
      const from = Math.max(0, series.values.length - HISTORY_SHOWN * mean.length);
      const point = (stamp: number | undefined, index: number, value: number) =>
        stamp === undefined ? { index, value } : { time: stamp, value };
      return {
        name: series.id,
        history: Array.from(series.values.subarray(from), (value, i) => point(stamps?.[from + i], from + i, value)),
        forecast: Array.from(mean, (value, h) => point(times?.[h], series.values.length + h, value)),
        ...(lower && upper ? { lower, upper } : {}),
      };
    }),
  });
}
