import type { Routing } from "../moe/routing.ts";
import type { RoutingStatistics } from "../moe/statistics.ts";
import type { Module } from "../nn/module.ts";
import type { OptimizerDefinition } from "../optim/optimizer.ts";
import type { RandomKey } from "../tensor/philox.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { LedgerPage } from "./ledger.ts";

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
  /** Randomness of this step, and of this batch of it: the same in a resumed run. */
  key: RandomKey;
}

export interface StepLoss {
  loss: F32;
  /** Scalars to log. */
  parts?: Readonly<Record<string, F32>>;
  /** Of the MoE layers, in order, for expert loads and the ledger. */
  routings?: readonly Routing[];
  /** [N] 0 = padding: a token that counts for no expert. */
  mask?: F32 | undefined;
}

export interface TrainerOptions<Batch> {
  model: Module;
  data: BatchSource<Batch>;
  loss: (batch: Batch, context: StepContext) => F32 | StepLoss;
  optimizer: OptimizerDefinition;
  /** Where metrics and checkpoints go. Default: nowhere. */
  folder?: string;
  /** Continue the run in `folder`, if there is one. Default false. */
  resume?: boolean;
  seed?: number;
  /** Batches a step, one after another: the gradient is the mean of theirs. Default 1. */
  accumulate?: number;
  /** Keeps a moving average of the parameters, saved beside them; `evaluate` sees it. Default: none. */
  ema?: { decay: number };
  /** Measures the model as it is; numbers by name go to the step and the metrics. It must not draw from `data`. */
  evaluate?: (step: number) => Promise<Record<string, number>>;
  /** Steps between evaluations; the last step has one too. Default: as checkpoints. */
  evaluateEvery?: number;
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
  /** Called as each step is done, for a progress bar. */
  onEvent?: (event: TrainingEvent) => void;
}

export interface TrainingStep {
  step: number;
  /** Mean over the batches of the step, as the parts. */
  loss: number;
  parts: Record<string, number>;
  /** Norm of all gradients together, before clipping. */
  gradientNorm: number;
  learningRate: number;
  /** Since this process began to train. */
  seconds: number;
  tokensPerSecond: number;
  secondsLeft: number;
  /** Assignments an expert got, a row a layer; on the steps where it is read, of the step's last batch. */
  expertLoad?: number[][];
  statistics?: RoutingStatistics[];
  ledger?: LedgerPage;
  /** What `evaluate` found, on the steps where it ran. */
  evaluation?: Record<string, number>;
  /** True on the last step of a run that was interrupted. */
  stopped: boolean;
}

export interface TrainingEvent {
  stage: "train";
  /** Steps, those before a resume included. */
  done: number;
  total: number;
  loss: number;
  tokensPerSecond: number;
  secondsLeft: number;
  expertLoad?: number[][];
}
