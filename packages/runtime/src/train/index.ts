export { GradientLedger, type LedgerPage } from "./ledger.ts";
export {
  type BatchSource,
  type StepContext,
  type StepLoss,
  Trainer,
  type TrainerOptions,
  type TrainingStep,
} from "./trainer.ts";
