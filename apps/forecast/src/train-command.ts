import { type Command, createProgress, formatDuration, listOf, number, positiveInteger, printJson } from "@moebius/cli";
import { requestDevice } from "@moebius/runtime/device";
import { TimeMoe, trainTimeMoe } from "@moebius/timeseries";
import { addInputOptions, type InputOptions, type ModelOptions, type SharedOptions } from "./options.ts";
import { describeSeries, readSeries } from "./read-series.ts";

interface Options extends InputOptions, ModelOptions, SharedOptions {
  folder: string;
  from?: string;
  steps: number;
  batch: number;
  learningRate: number;
  horizons: number[];
  hiddenSize: number;
  layers: number;
  heads: number;
  experts: number;
  topK: number;
  dense: boolean;
  seed: number;
  resume: boolean;
}

export function addTrainCommand(program: Command): void {
  addInputOptions(program.command("train"))
    .description("train a model on your series, from scratch or from a checkpoint")
    .requiredOption("-f, --folder <folder>", "where metrics, checkpoints and the model go")
    .option("--from <folder or hub id>", "fine-tune this checkpoint in place of a new model")
    .option("--steps <count>", "steps of the whole run", positiveInteger("--steps"), 300)
    .option("--batch <windows>", "windows a step", positiveInteger("--batch"), 16)
    .option("--context <points>", "points of a window that the model reads", positiveInteger("--context"), 256)
    .option("--learning-rate <rate>", "peak learning rate", number("--learning-rate", { min: 1e-9, max: 1 }), 1e-3)
    .option(
      "--horizons <points>",
      "heads of a new model, ascending",
      listOf("--horizons", positiveInteger("--horizons")),
    )
    .option("--hidden-size <width>", "width of a new model", positiveInteger("--hidden-size"), 64)
    .option("--layers <count>", "layers of a new model", positiveInteger("--layers"), 2)
    .option("--heads <count>", "attention heads of a new model", positiveInteger("--heads"), 4)
    .option("--experts <count>", "experts a layer of a new model", positiveInteger("--experts"), 8)
    .option("--top-k <count>", "experts a token uses", positiveInteger("--top-k"), 2)
    .option("--dense", "a new model without experts", false)
    .option("--seed <number>", "seed of weights and windows", positiveInteger("--seed"), 1)
    .option("--resume", "go on with the run in the folder", false)
    .action(async (file: string, _: unknown, command: Command) => run(file, command.optsWithGlobals<Options>()));
}

async function run(file: string, options: Options): Promise<void> {
  using progress = createProgress({ quiet: options.quiet || options.json });
  const series = await readSeries(file, options);
  for (const one of series) progress.say(describeSeries(one));
  const device = await requestDevice({ onNotice: progress.say });
  const model =
    options.from === undefined
      ? newModel(device, options)
      : await TimeMoe.fromPretrained(options.from, { device, onProgress: progress.report });
  try {
    progress.say(`${model.numParameters} parameters`);
    const { steps, batch: batchSize, context = 256, learningRate, seed, folder, resume } = options;
    const training = trainTimeMoe(model, {
      sources: [{ weight: 1, series: series.map(({ values }) => values) }],
      steps,
      batchSize,
      context,
      learningRate,
      seed,
      folder,
      resume,
    });
    let last = { step: -1, loss: Number.NaN, stopped: false };
    for await (const step of training) {
      last = step;
      const load = step.expertLoad?.map((counts) => counts.join(" ")).join(" | ");
      progress.report({
        stage: "train",
        done: step.step + 1,
        total: steps,
        note: `loss ${step.loss.toFixed(4)}, ${Math.round(step.tokensPerSecond)} tokens/s, ${formatDuration(1000 * step.secondsLeft)} left`,
      });
      if (load && step.step % 100 === 0) progress.say(`tokens per expert at step ${step.step}: ${load}`);
    }
    progress.end();
    await model.save(`${folder}/model`);
    const summary = { folder, model: `${folder}/model`, steps: last.step + 1, loss: last.loss, stopped: last.stopped };
    if (options.json) printJson(summary);
    else
      console.log(
        `${last.stopped ? `stopped at step ${last.step + 1}; --resume goes on. ` : ""}loss ${last.loss.toFixed(4)}; the model is in ${summary.model}`,
      );
  } finally {
    model[Symbol.dispose]();
    await device.finish();
    device[Symbol.dispose]();
  }
}

function newModel(device: Awaited<ReturnType<typeof requestDevice>>, options: Options): TimeMoe {
  const { hiddenSize, layers, heads, experts, topK, dense, seed, horizons = [1, 8, 32, 64] } = options;
  return TimeMoe.fromConfig(
    device,
    {
      hidden_size: hiddenSize,
      intermediate_size: 2 * hiddenSize,
      num_hidden_layers: layers,
      num_attention_heads: heads,
      num_experts: experts,
      num_experts_per_tok: topK,
      horizon_lengths: horizons,
      use_dense: dense,
      // A scalar input spans a low-dimensional space: small random weights would starve the norms.
      initializer_range: 0.08,
    },
    { seed },
  );
}
