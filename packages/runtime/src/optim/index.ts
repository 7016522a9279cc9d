export { type AdamwOptions, adamw } from "./adamw.ts";
export type { Optimizer, OptimizerDefinition, OptimizerStep } from "./optimizer.ts";
export { constant, cosine, inverseSquareRoot, linearDecay, type Schedule } from "./schedules.ts";
