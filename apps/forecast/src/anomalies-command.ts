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
  toCsv,
  UserError,
  writeAtomically,
} from "@moebius/cli";
import { conformalQuantile, formatTime, type Series, timestampsOf } from "@moebius/data";
import type { TimeMoe } from "@moebius/timeseries";
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
  coverage: number;
  output?: string;
  plot?: string;
}

interface Anomaly {
  series: string;
  time: string;
  index: number;
  value: number;
  expected: number;
  lower: number;
  upper: number;
}

/** Forecasts of a series' past, point by point; NaN where there was too little history. */
interface Expectation {
  series: Series;
  expected: Float64Array;
  width: number;
  anomalies: Anomaly[];
}

const DEFAULT_CONTEXT = 512;

export function addAnomaliesCommand(program: Command): void {
  addModelOptions(addInputOptions(program.command("anomalies")))
    .description("find points outside the interval that the series' own past predicts")
    .option("-n, --horizon <points>", "points forecast at once (default: one season)", positiveInteger("--horizon"))
    .option("--coverage <share>", "share of points that are normal", probability("--coverage"), 0.99)
    .option("-o, --output <file>", "write the anomalies as .csv or .json")
    .option("-p, --plot <file>", "draw the series with its anomalies as .png or .svg")
    .action(async (file: string, _: unknown, command: Command) => run(file, command.optsWithGlobals<Options>()));
}

async function run(file: string, options: Options): Promise<void> {
  expectExtension("--output", options.output, ["csv", "json"]);
  if (options.plot) checkChartFile(options.plot);
  using progress = createProgress({ quiet: options.quiet || options.json });
  const series = await readSeries(file, options);
  for (const one of series) progress.say(describeSeries(one));
  const { device, model } = await loadModel(options, progress);
  try {
    const found: Expectation[] = [];
    for (const one of series) found.push(await expect(model, one, options, progress.report));
    progress.end();
    const anomalies = found.flatMap((expectation) => expectation.anomalies);
    if (options.output)
      await writeAtomically(
        options.output,
        options.output.endsWith(".json") ? `${JSON.stringify(anomalies, null, 1)}\n` : csv(anomalies),
      );
    if (options.plot) await renderChart(chart(found, options.coverage), options.plot);
    if (options.json) printJson(anomalies);
    else {
      printTable(
        ["series", "time", "value", "expected", "lower", "upper"].map((header) => ({ header })),
        anomalies.map(({ series, time, value, expected, lower, upper }) => [
          series,
          time,
          value,
          expected,
          lower,
          upper,
        ]),
        { maxRows: 40 },
      );
      console.log(`${anomalies.length} points lie outside the ${options.coverage * 100} % interval`);
      if (options.output) console.log(`wrote ${options.output}`);
      if (options.plot) console.log(`drew ${options.plot}`);
    }
  } finally {
    model[Symbol.dispose]();
    await device.finish();
    device[Symbol.dispose]();
  }
}

/** Forecasts the series from its own past, a horizon at a time, and flags what lies outside the conformal interval of the errors. */
async function expect(
  model: TimeMoe,
  series: Series,
  options: Options,
  onProgress: (event: { stage: string; done: number; total: number }) => void,
): Promise<Expectation> {
  const horizon = options.horizon ?? Math.max(seasonOf(series), 8);
  const context = options.context ?? Math.min(DEFAULT_CONTEXT, model.config.max_position_embeddings - horizon);
  const { values, id } = series;
  const first = Math.min(context, 4 * horizon);
  const origins: number[] = [];
  for (let at = first; at < values.length; at += horizon) origins.push(at);
  if (origins.length === 0)
    throw new UserError(
      `${id}: ${values.length} points are too few; anomalies need more than ${first}, four times the horizon`,
    );
  const forecasts = await model.forecastMany(
    origins.map((at) => values.subarray(Math.max(0, at - context), at)),
    { horizon, context, onProgress },
  );
  const expected = new Float64Array(values.length).fill(Number.NaN);
  for (const [i, at] of origins.entries())
    expected.set((forecasts[i]?.mean ?? new Float64Array()).subarray(0, values.length - at), at);
  const errors = values.map((value, i) => value - (expected[i] as number));
  const width = conformalQuantile(errors, 1 - options.coverage);
  const times = timestampsOf(series);
  const anomalies = Array.from(values.keys())
    .filter((i) => Math.abs(errors[i] as number) > width)
    .map((index) => ({
      series: id,
      time: times ? formatTime(times[index] as number) : String(index + 1),
      index,
      value: values[index] as number,
      expected: expected[index] as number,
      lower: (expected[index] as number) - width,
      upper: (expected[index] as number) + width,
    }));
  return { series, expected, width, anomalies };
}

function csv(anomalies: readonly Anomaly[]): string {
  return toCsv(
    ["series", "time", "value", "expected", "lower", "upper"],
    anomalies.map(({ series, time, value, expected, lower, upper }) => [series, time, value, expected, lower, upper]),
  );
}

function chart(found: readonly Expectation[], coverage: number) {
  return forecastSpec({
    title: `Points outside the ${coverage * 100} % interval`,
    series: found.map(({ series, anomalies }) => {
      const times = timestampsOf(series);
      const point = (index: number, value: number) =>
        times ? { time: times[index] as number, value } : { index, value };
      return {
        name: series.id,
        history: Array.from(series.values, (value, i) => point(i, value)),
        forecast: [],
        anomalies: anomalies.map(({ index, value }) => point(index, value)),
      };
    }),
  });
}
