export { GradientLedger, type LedgerPage } from "./ledger.ts";
export type { BatchSource, StepContext, StepLoss, TrainerOptions, TrainingEvent, TrainingStep } from "./options.ts";
export { Trainer } from "./trainer.ts";
