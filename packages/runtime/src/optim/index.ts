export { type AdamwOptions, adamw } from "./adamw.ts";
export type { Optimizer, OptimizerDefinition, OptimizerStep } from "./optimizer.ts";
export { ParameterAverage } from "./parameter-average.ts";
export { constant, cosine, inverseSquareRoot, linearDecay, type Schedule, stepDecay } from "./schedules.ts";
export { type SgdOptions, sgd } from "./sgd.ts";
