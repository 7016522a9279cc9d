import { fileSize, onInterrupt, writeFrom } from "#host";
import { CheckpointError, ConfigError, ValueError } from "../device/errors.ts";
import { handled } from "../device/handled.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import { ParameterAverage } from "../optim/parameter-average.ts";
import { RandomKey } from "../tensor/philox.ts";
import { scope } from "../tensor/scope.ts";
import { Clock } from "./clock.ts";
import { type BatchNumbers, StepGradients } from "./gradients.ts";
import { GradientLedger } from "./ledger.ts";
import type { TrainerOptions, TrainingStep } from "./options.ts";
import { RunFolder } from "./run-folder.ts";

/**
 * Trains a model: data in, steps out, with metrics, checkpoints and exact resume. A step's numbers are read while the next one is
 * recorded, so the device does not wait. Ctrl-C ends the run after the step, with a checkpoint.
 */
export class Trainer<Batch> implements Disposable {
  /** The moving average of the parameters, with the option `ema`. */
  readonly average: ParameterAverage | undefined;
  readonly #options: TrainerOptions<Batch>;
  readonly #optimizer: Optimizer;
  readonly #ledger: GradientLedger;
  readonly #folder: RunFolder | undefined;
  readonly #key: RandomKey;

  /** @throws {ConfigError} for a setting out of range */
  constructor(options: TrainerOptions<Batch>) {
    const { model, folder, ema, keepCheckpoints = 2, seed = 0 } = options;
    expectCounts(options);
    this.#options = options;
    const parameters = model.trainableParameters();
    this.#optimizer = options.optimizer.bind(parameters);
    this.average = ema && new ParameterAverage(parameters, ema);
    this.#ledger = new GradientLedger(parameters);
    this.#folder = folder === undefined ? undefined : new RunFolder(folder, keepCheckpoints);
    this.#key = new RandomKey(seed).split("training");
  }

  /**
   * Runs up to step `totalSteps` of the whole run, those before a resume included.
   * @throws {ValueError} for a loss or gradient that is not finite, naming the step; the last checkpoint is then untouched
   * @throws {ValueError} for an expert that does not train; see GradientLedger
   * @throws {CheckpointError} when the folder's checkpoint belongs to another model or seed
   */
  async *run(totalSteps: number): AsyncGenerator<TrainingStep> {
    const { data, checkpointEvery = 100, evaluate, evaluateEvery = checkpointEvery, seed = 0 } = this.#options;
    let interrupted = false;
    const release = onInterrupt(() => {
      interrupted = true;
    });
    try {
      const first = await this.#open();
      const clock = new Clock(first, totalSteps);
      let pending: Promise<TrainingStep> | undefined;
      for (let step = first; step < totalSteps; step++) {
        const recorded = handled(this.#step(step, totalSteps, clock)); // awaited below, perhaps after another error
        if (pending) yield await this.#finish(await pending, totalSteps);
        pending = recorded;
        const isDue = (every: number) => (step + 1) % every === 0 || step + 1 === totalSteps;
        const saves = isDue(checkpointEvery) || interrupted;
        const evaluates = evaluate !== undefined && isDue(evaluateEvery);
        if (!saves && !evaluates) continue;
        pending = undefined;
        const done = await recorded;
        const evaluation = evaluates ? { evaluation: await this.#evaluate(evaluate, step) } : {};
        const logged = await this.#finish({ ...done, ...evaluation }, totalSteps);
        if (saves) await this.#folder?.save(this.#groups(), { step: step + 1, totalSteps, seed, data: data.state() });
        const stopped = saves && interrupted;
        yield { ...logged, stopped };
        if (stopped) return;
      }
    } finally {
      release();
    }
  }

  [Symbol.dispose](): void {
    this.#optimizer[Symbol.dispose]();
    this.average?.[Symbol.dispose]();
  }

  #groups() {
    const average = this.average && { average: this.average.state() };
    return { model: this.#options.model.parameters(), optimizer: this.#optimizer.state(), ...average };
  }

  async #open(): Promise<number> {
    const { resume = false, data, seed = 0, folder = "" } = this.#options;
    await this.#folder?.open(resume);
    const state = resume ? await this.#folder?.restore(this.#groups()) : undefined;
    if (state && state.seed !== seed)
      throw new CheckpointError(folder, `its run has the seed ${state.seed}, this one ${seed}: resume with the same`);
    if (state) data.restore(state.data);
    else this.average?.reset(); // the model may have got its values after this trainer was made
    await this.#folder?.keepMetrics(state?.step ?? 0);
    return state?.step ?? 0;
  }

  /** Does a step; its numbers arrive when the device has done it. */
  async #step(step: number, totalSteps: number, clock: Clock): Promise<TrainingStep> {
    const {
      batches,
      tokens,
      entries: entriesRead,
      control: controlRead,
      learningRate,
    } = this.#record(step, totalSteps);
    const [means, control, statistics, entries] = await Promise.all([
      meanNumbers(batches),
      controlRead,
      batches.at(-1)?.statistics,
      entriesRead,
    ]);
    const [gradientNorm = Number.NaN, factor = 0] = control;
    if (!Number.isFinite(means.loss) || factor === 0)
      throw new ValueError(
        `step ${step}: the loss is ${means.loss}${listed(means.parts)} and the gradient norm ${gradientNorm}; lower the learning rate, or look at the data of this step`,
      );
    return {
      step,
      ...means,
      gradientNorm,
      learningRate,
      ...clock.tick(step, tokens),
      ...(statistics && statistics.length > 0
        ? { statistics, expertLoad: statistics.map(({ tokensPerExpert }) => tokensPerExpert) }
        : {}),
      ...(entries ? { ledger: this.#ledger.close(step, entries, statistics ?? []) } : {}),
      stopped: false,
    };
  }

  /** Records forward, backward and the optimizer's step, and the copies to be read. */
  #record(step: number, totalSteps: number) {
    const { model, data, loss, accumulate = 1, statisticsEvery = 10, ledgerEvery = 50, tokens } = this.#options;
    const looksAtGradients = ledgerEvery > 0 && step % ledgerEvery === 0;
    const looksAtExperts = looksAtGradients || step % statisticsEvery === 0;
    const key = this.#key.fold(step);
    const batches: BatchNumbers[] = [];
    let numTokens = 0;
    using gradients = new StepGradients(model.trainableParameters().values(), accumulate);
    for (let i = 0; i < accumulate; i++) {
      const batch = data.next();
      numTokens += tokens?.(batch) ?? 0;
      const context = { step, key: accumulate === 1 ? key : key.fold(i) };
      batches.push(gradients.add(batch, loss, context, looksAtExperts && i === accumulate - 1));
    }
    return scope(() => {
      const entries = looksAtGradients ? this.#ledger.record(gradients.sums) : undefined;
      const { control, learningRate } = this.#optimizer.step(gradients.sums, step, totalSteps);
      this.average?.update();
      return { batches, tokens: numTokens, entries, control: control.read(), learningRate };
    });
  }

  /** With the averages in the parameters' place, where they are kept. */
  async #evaluate(evaluate: NonNullable<TrainerOptions<Batch>["evaluate"]>, step: number) {
    this.average?.swap();
    try {
      return await evaluate(step);
    } finally {
      this.average?.swap();
    }
  }

  /** Appends a step to metrics.jsonl and reports it. */
  async #finish(done: TrainingStep, totalSteps: number): Promise<TrainingStep> {
    const { stopped: _, secondsLeft, ...metrics } = done;
    if (this.#folder) {
      const file = this.#folder.metricsFile;
      await writeFrom(file, await fileSize(file), [new TextEncoder().encode(`${JSON.stringify(metrics)}\n`)]);
    }
    const { step, loss, tokensPerSecond, expertLoad } = metrics;
    this.#options.onEvent?.({
      stage: "train",
      done: step + 1,
      total: totalSteps,
      loss,
      tokensPerSecond,
      secondsLeft,
      ...(expertLoad ? { expertLoad } : {}),
    });
    return done;
  }
}

async function meanNumbers(batches: readonly BatchNumbers[]): Promise<{ loss: number; parts: Record<string, number> }> {
  const mean = async (numbers: readonly (Promise<number> | undefined)[]) =>
    (await Promise.all(numbers)).reduce<number>((sum, number = Number.NaN) => sum + number, 0) / numbers.length;
  const names = [...(batches[0]?.parts.keys() ?? [])];
  const [loss = Number.NaN, ...parts] = await Promise.all([
    mean(batches.map((batch) => batch.loss)),
    ...names.map((name) => mean(batches.map((batch) => batch.parts.get(name)))),
  ]);
  return { loss, parts: Object.fromEntries(names.map((name, i) => [name, parts[i] ?? Number.NaN])) };
}

function listed(parts: Record<string, number>): string {
  const texts = Object.entries(parts).map(([name, value]) => `${name} ${value}`);
  return texts.length === 0 ? "" : ` (${texts.join(", ")})`;
}

function expectCounts<Batch>(options: TrainerOptions<Batch>): void {
  const { accumulate = 1, checkpointEvery = 1, evaluateEvery = 1, keepCheckpoints = 1, statisticsEvery = 1 } = options;
  for (const [name, count] of Object.entries({
    accumulate,
    checkpointEvery,
    evaluateEvery,
    keepCheckpoints,
    statisticsEvery,
  }))
    if (!(Number.isInteger(count) && count >= 1))
      throw new ConfigError(`Trainer: ${name} must be a whole number of at least 1, got ${count}`);
}
