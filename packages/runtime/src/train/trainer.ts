import { fileSize, onInterrupt, writeFrom } from "#host";
import { ValueError } from "../device/errors.ts";
import type { Routing } from "../moe/routing.ts";
import { type RoutingStatistics, routingStatistics } from "../moe/statistics.ts";
import type { Module } from "../nn/module.ts";
import { Tape } from "../ops/tape.ts";
import type { Optimizer, OptimizerDefinition } from "../optim/optimizer.ts";
import { RandomKey } from "../tensor/philox.ts";
import { scope } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { GradientLedger, type LedgerPage } from "./ledger.ts";
import { RunFolder } from "./run-folder.ts";

type F32 = Tensor<"f32">;

/** Endless batches whose place can be saved. */
export interface BatchSource<Batch> {
  next(): Batch;
  /** Plain JSON. */
  state(): unknown;
  restore(state: unknown): void;
}

export interface StepContext {
  step: number;
  /** Randomness of this step: the same in a resumed run. */
  key: RandomKey;
}

export interface StepLoss {
  loss: F32;
  /** Scalars to log. */
  parts?: Readonly<Record<string, F32>>;
  /** Of the MoE layers, in order, for expert loads and the ledger. */
  routings?: readonly Routing[];
}

export interface TrainerOptions<Batch> {
  model: Module;
  data: BatchSource<Batch>;
  loss: (batch: Batch, context: StepContext) => StepLoss;
  optimizer: OptimizerDefinition;
  /** Where metrics and checkpoints go. Default: nowhere. */
  folder?: string;
  /** Continue the run in `folder`, if there is one. Default false. */
  resume?: boolean;
  seed?: number;
  /** Steps between checkpoints. Default 100. */
  checkpointEvery?: number;
  /** Checkpoints that stay. Default 2. */
  keepCheckpoints?: number;
  /** Steps between readings of expert loads. Default 10. */
  statisticsEvery?: number;
  /** Steps between pages of the gradient ledger. Default 50; 0: none. */
  ledgerEvery?: number;
  /** Tokens of a batch, for the rate. */
  tokens?: (batch: Batch) => number;
}

export interface TrainingStep {
  step: number;
  loss: number;
  parts: Record<string, number>;
  /** Norm of all gradients together, before clipping. */
  gradientNorm: number;
  learningRate: number;
  tokensPerSecond: number;
  secondsLeft: number;
  /** Assignments an expert got, a row a layer; on the steps where it is read. */
  expertLoad?: number[][];
  statistics?: RoutingStatistics[];
  ledger?: LedgerPage;
  /** True on the last step of a run that was interrupted. */
  stopped: boolean;
}

/**
 * Trains a model: data in, steps out, with metrics, checkpoints and exact resume. A step's numbers are read while the next one is
 * recorded, so the device does not wait. Ctrl-C ends the run after the step, with a checkpoint.
 */
export class Trainer<Batch> implements Disposable {
  readonly #options: TrainerOptions<Batch>;
  readonly #optimizer: Optimizer;
  readonly #ledger: GradientLedger;
  readonly #folder: RunFolder | undefined;
  readonly #key: RandomKey;

  constructor(options: TrainerOptions<Batch>) {
    this.#options = options;
    const parameters = options.model.trainableParameters();
    this.#optimizer = options.optimizer.bind(parameters);
    this.#ledger = new GradientLedger(parameters);
    this.#folder =
      options.folder === undefined ? undefined : new RunFolder(options.folder, options.keepCheckpoints ?? 2);
    this.#key = new RandomKey(options.seed ?? 0).split("training");
  }

  /**
   * Runs up to step `totalSteps` of the whole run, those before a resume included.
   * @throws {ValueError} for a loss that is not finite, naming the step; the last checkpoint is then untouched
   * @throws {CheckpointError} when the folder's checkpoint belongs to another model
   */
  async *run(totalSteps: number): AsyncGenerator<TrainingStep> {
    const { data, checkpointEvery = 100, seed = 0 } = this.#options;
    let interrupted = false;
    const release = onInterrupt(() => {
      interrupted = true;
    });
    try {
      const first = await this.#open();
      const clock = new Clock(first, totalSteps);
      let pending: Promise<TrainingStep> | undefined;
      for (let step = first; step < totalSteps; step++) {
        const recorded = this.#record(step, totalSteps, clock);
        recorded.catch(() => {}); // awaited below, perhaps after another error
        if (pending) yield await this.#log(await pending);
        pending = recorded;
        if ((step + 1) % checkpointEvery === 0 || step + 1 === totalSteps) {
          const done = await this.#log(await recorded);
          await this.#folder?.save(this.#groups(), { step: step + 1, seed, data: data.state() });
          pending = undefined;
          yield { ...done, stopped: interrupted };
        }
        if (interrupted) break;
      }
      if (!pending) return;
      const last = await this.#log(await pending);
      await this.#folder?.save(this.#groups(), { step: last.step + 1, seed, data: data.state() });
      yield { ...last, stopped: true };
    } finally {
      release();
    }
  }

  [Symbol.dispose](): void {
    this.#optimizer[Symbol.dispose]();
  }

  #groups() {
    return { model: this.#options.model.parameters(), optimizer: this.#optimizer.state() };
  }

  async #open(): Promise<number> {
    const { resume = false, data } = this.#options;
    await this.#folder?.open(resume);
    const state = resume ? await this.#folder?.restore(this.#groups()) : undefined;
    if (state) data.restore(state.data);
    await this.#folder?.keepMetrics(state?.step ?? 0);
    return state?.step ?? 0;
  }

  /** Records a step; its numbers arrive when the device has done it. */
  async #record(step: number, totalSteps: number, clock: Clock): Promise<TrainingStep> {
    const { model, data, loss: lossOf, statisticsEvery = 10, ledgerEvery = 50, tokens } = this.#options;
    const batch = data.next();
    const parameters = model.trainableParameters();
    const looksAtExperts = step % statisticsEvery === 0;
    const looksAtGradients = ledgerEvery > 0 && step % ledgerEvery === 0;
    const reads = scope(() => {
      const tape = new Tape(parameters.values());
      const { loss, parts = {}, routings = [] } = tape.run(() => lossOf(batch, { step, key: this.#key.fold(step) }));
      const read = {
        loss: loss.item(),
        parts: Object.entries(parts).map(([name, part]) => [name, part.item()] as const),
        statistics: looksAtExperts || looksAtGradients ? routingStatistics(routings) : undefined,
      };
      const gradients = tape.backward(loss);
      const entries = looksAtGradients ? this.#ledger.record(gradients) : undefined;
      const { control, learningRate } = this.#optimizer.step(gradients, step, totalSteps);
      for (const gradient of gradients.values()) gradient.dispose();
      const result = { ...read, entries, control: control.read(), learningRate };
      return () => result; // a scope returns no promises
    })();
    const all = Promise.all([
      reads.loss,
      reads.control,
      reads.statistics,
      reads.entries,
      ...reads.parts.map(([, value]) => value),
    ]);
    const [loss, control, statistics, entries, ...parts] = await all;
    const [gradientNorm = Number.NaN, factor = 0] = control;
    if (!Number.isFinite(loss) || factor === 0)
      throw new ValueError(
        `step ${step}: the loss is ${loss} and the gradient norm ${gradientNorm}; lower the learning rate, or look at the data of this step`,
      );
    return {
      step,
      loss,
      parts: Object.fromEntries(reads.parts.map(([name], i) => [name, parts[i] as number])),
      gradientNorm,
      learningRate: reads.learningRate,
      ...clock.tick(step, tokens?.(batch) ?? 0),
      ...(statistics && statistics.length > 0
        ? { statistics, expertLoad: statistics.map(({ tokensPerExpert }) => tokensPerExpert) }
        : {}),
      ...(entries ? { ledger: this.#ledger.close(step, entries, statistics ?? []) } : {}),
      stopped: false,
    };
  }

  /** Appends a step to metrics.jsonl. */
  async #log(step: TrainingStep): Promise<TrainingStep> {
    if (this.#folder) {
      const { stopped: _, secondsLeft: __, ...metrics } = step;
      const file = this.#folder.metricsFile;
      await writeFrom(file, await fileSize(file), [new TextEncoder().encode(`${JSON.stringify(metrics)}\n`)]);
    }
    return step;
  }
}

/** Rates over the last steps, and the time left. */
class Clock {
  readonly #start = performance.now();
  readonly #first: number;
  readonly #total: number;
  #last = performance.now();
  #rate = 0;

  constructor(first: number, total: number) {
    this.#first = first;
    this.#total = total;
  }

  tick(step: number, tokens: number): { tokensPerSecond: number; secondsLeft: number } {
    const now = performance.now();
    const rate = tokens / Math.max(1e-3, (now - this.#last) / 1000);
    this.#rate = this.#rate === 0 ? rate : 0.9 * this.#rate + 0.1 * rate;
    this.#last = now;
    const done = step + 1 - this.#first;
    return { tokensPerSecond: this.#rate, secondsLeft: ((now - this.#start) / 1000 / done) * (this.#total - step - 1) };
  }
}
