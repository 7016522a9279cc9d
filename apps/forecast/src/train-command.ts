import { mkdir } from "node:fs/promises";
import path from "node:path";
import {
  addExamples,
  type Command,
  integer,
  listOf,
  number,
  type Progress,
  positiveInteger,
  printJson,
  type SharedOptions,
  UserError,
  writeAtomically,
} from "@moebius/cli";
import type { Device } from "@moebius/runtime/device";
import type { TimeMoe } from "@moebius/timeseries";
import { pretrained, type Session, withModel } from "./load-model.ts";
import { addDeviceOptions, addInputOptions, type InputOptions, type ModelOptions } from "./options.ts";
import { describeInput, expectLength, type Input, readSeries } from "./read-series.ts";
import { expectScorable, rollingScores } from "./rolling-scores.ts";
import { type RunSettings, readSettings, settingsFile } from "./run-settings.ts";
import { printScores, type ScoreRow } from "./scores.ts";

interface Options extends InputOptions, ModelOptions, SharedOptions {
  folder: string;
  from?: string;
  steps?: number;
  batch: number;
  context: number;
  learningRate?: number;
  horizons?: number[];
  hiddenSize: number;
  layers: number;
  heads: number;
  experts: number;
  topK: number;
  dense: boolean;
  seed: number;
  validationShare: number;
  checkpointEvery: number;
  resume: boolean;
}

const DEFAULT_STEPS = 300;
const MIN_VALUES = 32;
/** Steps between lines that say how the experts share the work. */
const LOAD_EVERY = 100;

export function addTrainCommand(program: Command): void {
  const command = addDeviceOptions(addInputOptions(program.command("train")))
    .description("train a model on your series, from scratch or from a checkpoint; Ctrl-C stops it with a checkpoint")
    .requiredOption("-f, --folder <folder>", "where metrics, checkpoints and, at the end, the model go")
    .option("--resume", "go on with the run in the folder, with its settings", false)
    .option("--from <folder or hub id>", "fine-tune this checkpoint in place of a new model")
    .option("--steps <count>", `steps of the whole run (default: ${DEFAULT_STEPS})`, positiveInteger("--steps"))
    .option("--batch <windows>", "windows a step", positiveInteger("--batch"), 16)
    .option("--context <points>", "points of a window that the model reads", positiveInteger("--context"), 256)
    .option(
      "--learning-rate <rate>",
      "peak of the schedule (default: 1e-3, with --from 1e-4)",
      number("--learning-rate", { min: 1e-9, max: 1 }),
    )
    .option(
      "--validation-share <share>",
      "share of each series, at its end, that is not trained on but scored; 0 for none",
      number("--validation-share", { min: 0, max: 0.9 }),
      0.1,
    )
    .option("--seed <number>", "seed of weights and windows", integer("--seed", { min: 0 }), 1)
    .option("--checkpoint-every <steps>", "steps between checkpoints", positiveInteger("--checkpoint-every"), 100)
    .option(
      "--horizons <points>",
      "heads of a new model, ascending",
      listOf("--horizons", positiveInteger("--horizons")),
    )
    .option("--hidden-size <width>", "width of a new model", positiveInteger("--hidden-size"), 64)
    .option("--layers <count>", "layers of a new model", positiveInteger("--layers"), 2)
    .option("--heads <count>", "attention heads of a new model", positiveInteger("--heads"), 4)
    .option("--experts <count>", "experts a layer of a new model", positiveInteger("--experts"), 8)
    .option("--top-k <count>", "experts a time step of a new model uses", positiveInteger("--top-k"), 2)
    .option("--dense", "a new model without experts", false)
    .action(async (file: string, _: unknown, command: Command) => train(file, command.optsWithGlobals<Options>()));
  addExamples(command, [
    {
      command: "forecast train sales.csv --column revenue --folder runs/sales --from Maple728/TimeMoE-50M",
      does: "fine-tune a published model",
    },
    { command: "forecast train sales.csv --column revenue --folder runs/sales --resume", does: "go on after Ctrl-C" },
    { command: "forecast sales.csv --column revenue --model runs/sales/model", does: "use what was trained" },
  ]);
}

async function train(file: string, options: Options): Promise<void> {
  const { folder, resume } = options;
  const earlier = await readSettings(folder, resume);
  const input = await readSeries(file, options);
  expectLength(input, MIN_VALUES, `training needs at least ${MIN_VALUES}; give more rows`);
  const { validationShare } = earlier ?? options;
  if (validationShare > 0) expectScorable(input, { testShare: validationShare });
  if (!options.json) console.log(describeInput(input));
  await makeFolder(folder);
  const summary = await withModel(
    options,
    (device, progress) => startingModel(device, progress, options, earlier),
    async (session) => {
      const settings = { ...(earlier ?? newSettings(options, session.model)) };
      if (options.steps !== undefined) settings.steps = options.steps;
      await writeAtomically(settingsFile(folder), `${JSON.stringify(settings, null, 1)}\n`);
      return runTraining(session, input, settings, options);
    },
  );
  if (options.json) return printJson(summary);
  const { stopped, steps, loss, model, validation } = summary;
  if (validation.length > 0) {
    console.log("\nOn the values that were not trained on:");
    printScores(validation, "forecasts");
  }
  console.log(
    `\n${stopped ? `Stopped after step ${steps}; --resume goes on. ` : ""}${loss === null ? "There was no step left to do" : `Loss ${loss.toFixed(4)} after ${steps} steps`}; the model is in ${model}: forecast ${file} --model ${model}`,
  );
}

async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
  } catch (error) {
    throw new UserError(`--folder: cannot make ${folder} (${(error as Error).message}); choose another place`, {
      cause: error,
    });
  }
}

function newSettings(options: Options, { config }: TimeMoe): RunSettings {
  const { steps = DEFAULT_STEPS, batch, context, seed, validationShare, from } = options;
  const { learningRate = from === undefined ? 1e-3 : 1e-4 } = options;
  return { config, steps, batch, context, learningRate, seed, validationShare };
}

async function startingModel(
  device: Device,
  progress: Progress,
  options: Options,
  earlier: RunSettings | undefined,
): Promise<TimeMoe> {
  const { TimeMoe } = await import("@moebius/timeseries");
  if (earlier) return TimeMoe.fromConfig(device, earlier.config); // its weights come from the run's checkpoint
  if (options.from !== undefined) return pretrained(options.from, device, progress);
  const { hiddenSize, layers, heads, experts, topK, dense, seed, horizons = [1, 8, 32, 64] } = options;
  const config = {
    hidden_size: hiddenSize,
    intermediate_size: 2 * hiddenSize,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_experts: experts,
    num_experts_per_tok: topK,
    horizon_lengths: horizons,
    use_dense: dense,
    // A scalar input spans a low-dimensional space: with the published 0.02 the first norm would see its epsilon alone.
    initializer_range: 0.08,
  };
  return TimeMoe.fromConfig(device, config, { seed });
}

interface Summary {
  folder: string;
  model: string;
  steps: number;
  /** Of the last step; null when a resumed run had none left. */
  loss: number | null;
  stopped: boolean;
  validation: ScoreRow[];
}

async function runTraining(
  { model, progress }: Session,
  input: Input,
  settings: RunSettings,
  { folder, resume, checkpointEvery }: Options,
): Promise<Summary> {
  const { trainTimeMoe } = await import("@moebius/timeseries");
  const { steps, batch: batchSize, context, learningRate, seed, validationShare } = settings;
  progress.say(`${model.numParameters.toLocaleString("en")} parameters, ${steps} steps of ${batchSize} windows`);
  const training = trainTimeMoe(model, {
    sources: [
      {
        weight: 1,
        series: input.series.map(({ values }) => values.subarray(0, Math.floor(values.length * (1 - validationShare)))),
      },
    ],
    ...{ steps, batchSize, context, learningRate, seed, folder, resume, checkpointEvery },
  });
  let last = { step: steps - 1, loss: null as number | null, stopped: false };
  for await (const step of training) {
    last = step;
    progress.report({
      stage: "train",
      done: step.step + 1,
      total: steps,
      note: `loss ${step.loss.toFixed(4)}, ${Math.round(step.tokensPerSecond).toLocaleString("en")} tokens/s`,
    });
    if (step.expertLoad && step.step % LOAD_EVERY === 0) progress.say(describeLoad(step.step, step.expertLoad));
  }
  progress.end();
  const modelFolder = path.join(folder, "model");
  await model.save(modelFolder);
  const validation =
    validationShare === 0 || last.stopped
      ? []
      : await rollingScores(model, input, { testShare: validationShare }, progress.report);
  return { folder, model: modelFolder, steps: last.step + 1, loss: last.loss, stopped: last.stopped, validation };
}

/** "step 100: work of the experts in %, layer 1: 12 13 …" */
function describeLoad(step: number, load: readonly (readonly number[])[]): string {
  const layers = load.map((counts, layer) => {
    const total = counts.reduce((sum, count) => sum + count, 0) || 1;
    return `layer ${layer + 1}: ${counts.map((count) => Math.round((100 * count) / total)).join(" ")}`;
  });
  return `step ${step}: share of each expert in %, ${layers.join(" | ")}`;
}
