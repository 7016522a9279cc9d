import {
  addExamples,
  type Command,
  listOf,
  number,
  positiveInteger,
  printJson,
  type SharedOptions,
  UserError,
  writeAtomically,
} from "@moebius/cli";
import { pretrained, withModel } from "./load-model.ts";
import { evaluateM4 } from "./m4.ts";
import { addInputOptions, addModelOptions, checkOutputs, type InputOptions, type ModelOptions } from "./options.ts";
import { describeInput, readSeries } from "./read-series.ts";
import { expectScorable, rollingScores } from "./rolling-scores.ts";
import { printScores, type ScoreRow, type ScoringOptions, scoresToCsv } from "./scores.ts";

interface Options extends InputOptions, ModelOptions, SharedOptions, ScoringOptions {
  m4?: string;
  output?: string;
}

export function addEvaluateCommand(program: Command): void {
  const command = addModelOptions(addInputOptions(program.command("evaluate")))
    .description("score rolling forecasts of the last part of the series, beside naive ones")
    .option(
      "-n, --horizons <points>",
      "horizons, separated by commas (default: one season)",
      listOf("--horizons", positiveInteger("--horizons")),
    )
    .option("--stride <points>", "points between forecasts (default: one season)", positiveInteger("--stride"))
    .option(
      "--test-share <share>",
      "share of each series, at its end, that is forecast",
      number("--test-share", { min: 0.001, max: 1 }),
      0.2,
    )
    .option("--range <from:to>", "rows that are forecast, counted from 0, in place of the share", range)
    .option(
      "--standardise [rows]",
      "scale each series by mean and deviation of its first rows (default: all before the scored ones), as papers do",
      positiveInteger("--standardise"),
    )
    .option(
      "--m4 <test file>",
      "<data> is an M4 train file (a row a series), this its test file; options that choose columns do not count",
    )
    .option("-o, --output <file>", "write the scores as .csv or .json")
    .action(async (file: string, _: unknown, command: Command) => evaluate(file, command.optsWithGlobals<Options>()));
  addExamples(command, [
    { command: "forecast evaluate sales.csv --column revenue --horizons 7,30", does: "a week and a month ahead" },
    {
      command:
        "forecast evaluate ETTh1.csv -c HUFL,HULL,MUFL,MULL,LUFL,LULL,OT -n 96,192 --range 11520:14400 --standardise 8640 --stride 1",
      does: "the protocol of the papers for ETTh1",
    },
    { command: "forecast evaluate Hourly-train.csv --m4 Hourly-test.csv", does: "M4's hourly series" },
  ]);
}

function range(text: string): [number, number] {
  const [, from, to] = /^(\d+):(\d+)$/.exec(text) ?? [];
  if (from === undefined || !(Number(from) < Number(to)))
    throw new UserError(`--range: expected two ascending row numbers such as 11520:14400, got "${text}"`);
  return [Number(from), Number(to)];
}

async function evaluate(file: string, options: Options): Promise<void> {
  await checkOutputs({ "--output": [options.output, ["csv", "json"]] });
  const rows = options.m4 === undefined ? await scoreSeries(file, options) : await scoreM4(file, options.m4, options);
  if (options.output !== undefined)
    await writeAtomically(
      options.output,
      /\.json$/i.test(options.output) ? `${JSON.stringify(rows, null, 1)}\n` : scoresToCsv(rows),
    );
  if (options.json) return printJson(rows);
  console.log();
  printScores(rows, options.m4 === undefined ? "forecasts" : "series");
  if (options.output !== undefined) console.log(`\nWrote ${options.output}.`);
}

async function scoreSeries(file: string, options: Options): Promise<ScoreRow[]> {
  const input = await readSeries(file, options);
  expectScorable(input, options);
  if (!options.json) console.log(describeInput(input));
  return withModel(
    options,
    (device, progress) => pretrained(options.model, device, progress),
    ({ model, progress }) => rollingScores(model, input, options, progress.report),
  );
}

async function scoreM4(train: string, test: string, options: Options): Promise<ScoreRow[]> {
  return withModel(
    options,
    (device, progress) => pretrained(options.model, device, progress),
    ({ model, progress }) => evaluateM4(model, { train, test, ...options, report: progress.report }),
  );
}
