import { forecastSpec, printTable, renderChart, terminalPlot, toCsv, writeAtomically } from "@moebius/cli";
import { formatTime, timestampsOf } from "@moebius/data";
import type { Forecast } from "@moebius/timeseries";
import type { BacktestScore } from "./backtest.ts";
import type { Input, InputSeries } from "./read-series.ts";

/** A forecast of one series. */
interface Result {
  series: InputSeries;
  forecast: Forecast;
  /** Stamps of the forecast points, ms since 1970, when the series has times. */
  times: Float64Array | undefined;
}

export interface Outcome {
  input: Input;
  horizon: number;
  interval?: number;
  results: readonly Result[];
  backtest?: readonly BacktestScore[];
}

/** Options of the command that shape its report. */
export interface ReportOptions {
  horizon?: number;
  backtest?: number;
  output?: string;
  plot?: string;
  explainRouting?: string;
}

/** Horizons of history beside the forecast in pictures; at least so many points. */
const HISTORY_HORIZONS = 3;
const MIN_HISTORY = 96;
/** More series than this are printed as one line each. */
const MAX_DETAILED = 3;
/** More series than this would make a picture that nobody scrolls through. */
const MAX_DRAWN = 20;
const MAX_ROWS = 24;

export function printForecasts(outcome: Outcome, options: ReportOptions): void {
  const { results, horizon, backtest } = outcome;
  if (results.length <= MAX_DETAILED) for (const result of results) printDetails(result, results.length > 1);
  else {
    console.log();
    printTable(
      ["series", "values", "last value", "mean of forecast", "lowest", "highest"].map((header) => ({ header })),
      results.map(({ series: { id, values }, forecast: { mean } }) => [
        id,
        values.length,
        values.at(-1) ?? null,
        mean.reduce((sum, value) => sum + value, 0) / horizon,
        Math.min(...mean),
        Math.max(...mean),
      ]),
      { maxRows: MAX_ROWS },
    );
  }
  const constant = results.filter(({ forecast }) => forecast.constant).map(({ series }) => series.id);
  if (constant.length > 0)
    console.log(
      `\nNote: the last values of ${constant.slice(0, 5).join(", ")} are all the same, so the forecast repeats them.`,
    );
  if (backtest) printBacktest(backtest, outcome, options.backtest ?? 0);
  console.log(`\n${summary(outcome, options)}`);
}

function printDetails(result: Result, named: boolean): void {
  const { series, forecast, times } = result;
  console.log(named ? `\n${series.id}\n` : "");
  printTable(
    headers(result).map((header) => ({ header })),
    rows(result),
    { maxRows: MAX_ROWS },
  );
  const from = historyStart(result);
  const stamps = timestampsOf(series);
  const first = stamps?.[from];
  const [next, last] = [times?.[0], times?.at(-1)];
  console.log();
  console.log(
    terminalPlot(series.values.subarray(from), forecast.mean, {
      title: series.id,
      ...(first === undefined || next === undefined || last === undefined
        ? {}
        : { labels: { start: formatTime(first), forecast: formatTime(next), end: formatTime(last) } }),
    }),
  );
}

function printBacktest(scores: readonly BacktestScore[], { input, horizon }: Outcome, asked: number): void {
  const windows = scores[0]?.windows ?? 0;
  const wanted = asked * input.series.length;
  console.log(
    `\nBack-test: ${windows} forecasts of ${horizon} points${windows < wanted ? ` (the history has room for no more than that, ${wanted} were asked for)` : ""}`,
  );
  printTable(
    [{ header: "method" }, { header: "MAE" }, { header: "MASE", decimals: 3 }, { header: "sMAPE", decimals: 2 }],
    scores.map(({ method, mae, mase, smape }) => [method, mae, mase, smape]),
  );
}

/** "24 points forecast with a 90 % interval; wrote next.csv, drew next.png" */
function summary({ results, horizon, interval }: Outcome, options: ReportOptions): string {
  const files = [
    ...(options.output === undefined ? [] : [`wrote ${options.output}`]),
    ...(options.plot === undefined
      ? []
      : [`drew ${results.length > MAX_DRAWN ? `the first ${MAX_DRAWN} series in ` : ""}${options.plot}`]),
    ...(options.explainRouting === undefined ? [] : [`experts in ${options.explainRouting}`]),
  ];
  const points = `${horizon} points${options.horizon === undefined ? " (another --horizon can be chosen)" : ""}`;
  const what = results.length === 1 ? `${points} forecast` : `${points} forecast of each of ${results.length} series`;
  const how = interval === undefined ? "" : ` with a ${percent(interval)} interval`;
  const where = files.length > 0 ? files.join(", ") : "--plot draws them, --output writes them";
  return `${what}${how}; ${where}.`;
}

/** For programs: the same in --json and in the file of --output. */
export function toJson({ horizon, interval, results, backtest }: Outcome) {
  return {
    horizon,
    ...(interval === undefined ? {} : { interval }),
    series: results.map(({ series, forecast: { mean, lower, upper, constant }, times }) => ({
      id: series.id,
      values: series.values.length,
      season: series.season,
      filled: series.filled + series.filledCells,
      ...(times ? { times: Array.from(times, formatTime) } : {}),
      mean: [...mean],
      ...(lower && upper ? { lower: [...lower], upper: [...upper] } : {}),
      constant,
    })),
    ...(backtest ? { backtest } : {}),
  };
}

export async function writeFiles(outcome: Outcome, { output, plot }: ReportOptions): Promise<void> {
  if (output !== undefined)
    await writeAtomically(
      output,
      /\.json$/i.test(output) ? `${JSON.stringify(toJson(outcome), null, 1)}\n` : toTable(outcome.results),
    );
  if (plot !== undefined) await renderChart(chart(outcome), plot);
}

function toTable(results: readonly Result[]): string {
  const [first] = results;
  const several = results.length > 1;
  return toCsv(
    [...(several ? ["series"] : []), ...(first ? headers(first) : [])],
    results.flatMap((result) => rows(result).map((row) => [...(several ? [result.series.id] : []), ...row])),
  );
}

function headers({ times, forecast }: Result): string[] {
  return [times ? "time" : "step", "forecast", ...(forecast.lower ? ["lower", "upper"] : [])];
}

function rows({ series, forecast: { mean, lower, upper }, times }: Result): (string | number)[][] {
  return Array.from(mean, (value, h) => [
    times ? formatTime(times[h] as number) : series.values.length + h + 1,
    value,
    ...(lower && upper ? [lower[h] as number, upper[h] as number] : []),
  ]);
}

function chart({ results, interval }: Outcome) {
  const drawn = results.slice(0, MAX_DRAWN);
  return forecastSpec({
    title: drawn.length === 1 ? `Forecast of ${drawn[0]?.series.id}` : `Forecasts of ${drawn.length} series`,
    ...(interval === undefined ? {} : { intervalName: `${percent(interval)} interval` }),
    series: drawn.map((result) => {
      const { series, forecast, times } = result;
      const { mean, lower, upper } = forecast;
      const stamps = timestampsOf(series);
      const from = historyStart(result);
      const point = (stamp: number | undefined, index: number, value: number) =>
        stamp === undefined ? { index: index + 1, value } : { time: stamp, value };
      return {
        name: series.id,
        history: Array.from(series.values.subarray(from), (value, i) => point(stamps?.[from + i], from + i, value)),
        forecast: Array.from(mean, (value, h) => point(times?.[h], series.values.length + h, value)),
        ...(lower && upper ? { lower, upper } : {}),
      };
    }),
  });
}

function historyStart({ series, forecast }: Result): number {
  return Math.max(0, series.values.length - Math.max(MIN_HISTORY, HISTORY_HORIZONS * forecast.mean.length));
}

/** "90 %", "99.5 %" */
export const percent = (share: number): string => `${Number((100 * share).toFixed(3))} %`;
