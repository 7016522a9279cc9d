import { adamw, cosine } from "@moebius/runtime/optim";
import { RandomKey, tensor } from "@moebius/runtime/tensor";
import { Trainer, type TrainingStep } from "@moebius/runtime/train";
import { timeMoeLoss } from "./loss.ts";
import type { TimeMoeModel } from "./model.ts";
import { type TrainingBatch, TrainingWindows, type WindowSource } from "./training-data.ts";

export interface TrainTimeMoeOptions {
  /** Where training windows come from. */
  sources: readonly WindowSource[];
  /** Steps of the whole run. */
  steps: number;
  /** Windows a step. Default 16. */
  batchSize?: number;
  /** Points the model reads of each window; of several, each step draws one, and shorter windows come in larger batches. Default 512. */
  context?: number | readonly number[];
  /**
   * Share of the positions, from the last one back, whose forecasts are trained. Default 1: all. A window is normalised by its whole
   * context, so that an early position can guess from the scale what comes, as a forecast cannot; a small share unlearns that.
   */
  trainedShare?: number;
  /** Peak of a cosine schedule that falls to a twentieth. Default 1e-3. */
  learningRate?: number;
  /** Steps of linear warm-up. Default a tenth of the run, at most 100. */
  warmupSteps?: number;
  /** Decay of a moving average of the weights, which the model has after the last step. Default: none. */
  averageDecay?: number;
  /** Measures the model, with the averages in their place. */
  evaluate?: (step: number) => Promise<Record<string, number>>;
  /** Steps between evaluations. Default: as checkpoints. */
  evaluateEvery?: number;
  /** Default 0.1. */
  weightDecay?: number;
  /** Largest norm of all gradients together. Default 1. */
  clipNorm?: number;
  seed?: number;
  /** For metrics and checkpoints; with `resume` the run there goes on. */
  folder?: string;
  resume?: boolean;
  checkpointEvery?: number;
}

/**
 * Trains a model, new or loaded, on windows of series: AdamW with betas 0.9 and 0.95, all heads at every position. The labels go on
 * past the context, so that the longest head learns from the longest contexts.
 * @returns the steps as they are done; see Trainer
 */
export async function* trainTimeMoe(model: TimeMoeModel, options: TrainTimeMoeOptions): AsyncGenerator<TrainingStep> {
  const {
    sources,
    steps,
    batchSize = 16,
    context = 512,
    trainedShare = 1,
    learningRate = 1e-3,
    weightDecay = 0.1,
    clipNorm = 1,
    averageDecay,
    seed = 0,
    ...run
  } = options;
  const { warmupSteps = Math.min(100, Math.ceil(steps / 10)), ...files } = run;
  const { device, horizons } = model;
  const data = new TrainingWindows({
    sources,
    batchSize,
    context,
    horizon: horizons.at(-1) ?? 1,
    key: new RandomKey(seed).split("windows"),
  });
  using trainer = new Trainer<TrainingBatch>({
    model,
    data,
    seed,
    ...files,
    ...(averageDecay === undefined ? {} : { ema: { decay: averageDecay } }),
    tokens: ({ values }) => values.length,
    optimizer: adamw({
      learningRate: cosine(learningRate, { warmupSteps, minimum: learningRate / 20 }),
      betas: [0.9, 0.95],
      weightDecay,
      clipNorm,
    }),
    loss: (batch) => {
      const { batchSize, context } = batch;
      const minContext = context - Math.max(1, Math.round(trainedShare * context)) + 1;
      const labelShape = [batchSize, batch.labels.length / batchSize];
      const lossMask = tensor(device, batch.lossMask, labelShape);
      const { loss, heads, balance, routings } = timeMoeLoss(model, {
        values: tensor(device, batch.values, [batchSize, context]),
        labels: tensor(device, batch.labels, labelShape),
        lossMask,
        minContext,
      });
      const parts = Object.fromEntries(heads.map((head, i) => [`huber.h${horizons[i]}`, head]));
      // Positions without a next value are padding, and in the last layer nothing looks at early ones: they owe experts no gradient.
      const counted = batch.tokenMask.map((isReal, i) => (i % context >= minContext - 1 ? isReal : 0));
      const mask = tensor(device, counted, [batchSize * context]);
      return { loss, parts: { ...parts, ...(balance ? { balance } : {}) }, routings, mask };
    },
  });
  let stopped = false;
  for await (const step of trainer.run(steps)) {
    stopped = step.stopped;
    yield step;
  }
  if (!stopped) trainer.average?.swap();
}
