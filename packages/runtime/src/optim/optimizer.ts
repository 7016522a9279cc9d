import type { Parameter } from "../nn/module.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** What one step reports; on the device, so that nothing waits for it. */
export interface OptimizerStep {
  /** [2]: the norm of all gradients together before clipping, and the factor applied; 0 = not finite, the step was skipped. */
  control: Tensor<"f32">;
  learningRate: number;
}

/** Changes parameters by their gradients. Its state outlives scopes and is saved with a checkpoint. */
export interface Optimizer extends Disposable {
  /** @param step 0-based; @param totalSteps length of the run, for schedules */
  step(gradients: ReadonlyMap<Tensor, Tensor<"f32">>, step: number, totalSteps: number): OptimizerStep;
  /** State tensors by name, such as "norm.weight.exp_avg". */
  state(): Map<string, Tensor<"f32">>;
}

/** An optimizer's settings, to be bound to a model's parameters. */
export interface OptimizerDefinition {
  bind(parameters: ReadonlyMap<string, Parameter>): Optimizer;
}

/** Which parameters decay where nothing else is said: matrices and banks, so no biases and norms. */
export const isMatrix = (_name: string, { rank }: Parameter): boolean => rank >= 2;
