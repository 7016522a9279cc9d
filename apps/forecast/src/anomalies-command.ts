import {
  addExamples,
  type Command,
  forecastSpec,
  positiveInteger,
  printJson,
  printTable,
  probability,
  renderChart,
  type SharedOptions,
  terminalPlot,
  toCsv,
  writeAtomically,
} from "@moebius/cli";
import { formatTime, timestampsOf } from "@moebius/data";
import { type Anomaly, detectAnomalies, type Judgement } from "./detect-anomalies.ts";
import { percent } from "./forecast-report.ts";
import { pretrained, withModel } from "./load-model.ts";
import { addInputOptions, addModelOptions, checkOutputs, type InputOptions, type ModelOptions } from "./options.ts";
import { describeInput, readSeries } from "./read-series.ts";

interface Options extends InputOptions, ModelOptions, SharedOptions {
  horizon?: number;
  coverage: number;
  last?: number;
  output?: string;
  plot?: string;
}

const SEASONLESS_HORIZON = 12;
const MAX_ROWS = 30;
const MAX_PLOTTED = 3;
/** Beyond this many points, a picture's interval is a blur that hides the series. */
const MAX_BAND_POINTS = 1500;

const columns = ["series", "time", "value", "expected", "lower", "upper", "score"] as const;
const cells = (anomaly: Anomaly) => columns.map((column) => anomaly[column]);

export function addAnomaliesCommand(program: Command): void {
  const command = addModelOptions(addInputOptions(program.command("anomalies")))
    .description("find points outside the interval that the series' own past lets expect")
    .option("-n, --horizon <points>", "points forecast at once (default: one season)", positiveInteger("--horizon"))
    .option("--coverage <share>", "share of points that count as normal", probability("--coverage"), 0.99)
    .option("--last <points>", "judge only so many points at the end (default: all)", positiveInteger("--last"))
    .option("-o, --output <file>", "write the anomalies as .csv or .json")
    .option("-p, --plot <file>", "draw the series with its anomalies as .png or .svg")
    .action(async (file: string, _: unknown, command: Command) => anomalies(file, command.optsWithGlobals<Options>()));
  addExamples(command, [
    { command: "forecast anomalies sensors.csv --column temperature --plot odd.png", does: "find and draw odd points" },
    {
      command: "forecast anomalies sensors.csv --column temperature --last 168 --coverage 0.95 --json",
      does: "only the last week of hours, more sensitively, for a program",
    },
  ]);
}

async function anomalies(file: string, options: Options): Promise<void> {
  await checkOutputs({
    "--output": [options.output, ["csv", "json"]],
    "--plot": [options.plot, ["png", "svg"]],
  });
  const input = await readSeries(file, options);
  if (!options.json) console.log(describeInput(input));
  const { coverage, last, context } = options;
  const judgements = await withModel(
    options,
    (device, progress) => pretrained(options.model, device, progress),
    async ({ model, progress }) => {
      const found: Judgement[] = [];
      for (const series of input.series) {
        const horizon = options.horizon ?? (series.season > 1 ? series.season : SEASONLESS_HORIZON);
        found.push(await detectAnomalies(model, series, { horizon, coverage, last, context, report: progress.report }));
      }
      return found;
    },
  );
  const all = judgements.flatMap((judgement) => judgement.anomalies);
  if (options.output !== undefined)
    await writeAtomically(
      options.output,
      /\.json$/i.test(options.output) ? `${JSON.stringify(all, null, 1)}\n` : toCsv(columns, all.map(cells)),
    );
  if (options.plot !== undefined) await renderChart(chart(judgements, coverage), options.plot);
  if (options.json) return printJson(all);
  if (all.length > 0) printAnomalies(all, judgements.length > 1);
  for (const judgement of judgements.slice(0, MAX_PLOTTED)) console.log(`\n${drawn(judgement)}`);
  console.log(`\n${summary(judgements, options)}`);
}

/** Those with the highest scores, in order of time. */
function printAnomalies(all: readonly Anomaly[], severalSeries: boolean): void {
  const shown = [...all].sort((a, b) => b.score - a.score).slice(0, MAX_ROWS);
  const first = severalSeries ? 0 : 1;
  console.log();
  printTable(
    columns.slice(first).map((header) => (header === "score" ? { header, decimals: 2 } : { header })),
    all.filter((anomaly) => shown.includes(anomaly)).map((anomaly) => cells(anomaly).slice(first)),
  );
  if (all.length > shown.length)
    console.log(`These are the ${shown.length} with the highest scores; --output writes all.`);
}

function drawn({ series, start, anomalies }: Judgement): string {
  const stamps = timestampsOf(series);
  const [first, last] = [stamps?.[start], stamps?.at(-1)];
  return terminalPlot(series.values.subarray(start), [], {
    title: series.id,
    marks: anomalies.map(({ index }) => index - start),
    ...(first === undefined || last === undefined
      ? {}
      : { labels: { start: formatTime(first), forecast: "", end: formatTime(last) } }),
  });
}

function summary(judgements: readonly Judgement[], { coverage, output, plot }: Options): string {
  const judged = judgements.reduce((sum, { expected }) => sum + expected.length, 0);
  const found = judgements.reduce((sum, { anomalies }) => sum + anomalies.length, 0);
  const files = [...(output === undefined ? [] : [`wrote ${output}`]), ...(plot === undefined ? [] : [`drew ${plot}`])];
  const chance = Math.round(judged * (1 - coverage));
  return `${found} of ${judged} points lie outside the ${percent(coverage)} interval, where chance alone puts about ${chance}${files.length > 0 ? `; ${files.join(", ")}` : ""}.`;
}

function chart(judgements: readonly Judgement[], coverage: number) {
  return forecastSpec({
    title: `Points outside the ${percent(coverage)} interval`,
    intervalName: `${percent(coverage)} interval`,
    series: judgements.map(({ series, start, expected, lower, upper, anomalies }) => {
      const stamps = timestampsOf(series);
      const point = (index: number, value: number) => {
        const stamp = stamps?.[index];
        return stamp === undefined ? { index: index + 1, value } : { time: stamp, value };
      };
      const hasBand = expected.length <= MAX_BAND_POINTS;
      return {
        name: series.id,
        history: Array.from(series.values.subarray(start), (value, i) => point(start + i, value)),
        forecast: hasBand ? Array.from(expected, (value, i) => point(start + i, value)) : [],
        ...(hasBand ? { lower, upper } : {}),
        anomalies: anomalies.map(({ index, value }) => point(index, value)),
      };
    }),
  });
}
