import { ConfigError } from "../device/errors.ts";
import { zeros } from "../kernels/fill.ts";
import { gradientControl } from "../kernels/gradient-norm.ts";
import { sgdUpdate } from "../kernels/sgd.ts";
import type { Parameter } from "../nn/module.ts";
import { keep } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { isMatrix, type Optimizer, type OptimizerDefinition, type OptimizerStep } from "./optimizer.ts";
import { type Schedule, scheduleOf } from "./schedules.ts";

export interface SgdOptions {
  learningRate: number | Schedule;
  /** μ in [0, 1). Default 0: none, and no state. */
  momentum?: number;
  /** Steps along g + μ v in place of v (Sutskever et al. 2013). Default false. */
  nesterov?: boolean;
  /** Decoupled from the gradient: p −= rate · weightDecay · p. Default 0. */
  weightDecay?: number;
  /** Which parameters decay. Default: those of rank 2 or more, so no biases and norms. */
  decays?: (name: string, parameter: Parameter) => boolean;
  /** Largest norm of all gradients together; longer ones are scaled down. Default: no limit. */
  clipNorm?: number;
}

/**
 * Stochastic gradient descent: v = μ v + g; p −= rate · v. A step whose gradients are not finite changes nothing.
 * @throws {ConfigError} for a setting out of range, or Nesterov's step without momentum
 */
export function sgd(options: SgdOptions): OptimizerDefinition {
  const { momentum = 0, nesterov = false, weightDecay = 0, clipNorm = 0 } = options;
  if (!(momentum >= 0 && momentum < 1 && weightDecay >= 0 && clipNorm >= 0))
    throw new ConfigError(
      `sgd: need 0 ≤ momentum < 1, weightDecay ≥ 0, clipNorm ≥ 0; got momentum ${momentum}, weightDecay ${weightDecay}, clipNorm ${clipNorm}`,
    );
  if (nesterov && momentum === 0) throw new ConfigError("sgd: nesterov needs momentum > 0, got momentum 0");
  return { bind: (parameters) => new Sgd(parameters, options) };
}

class Sgd implements Optimizer {
  readonly #options: SgdOptions;
  readonly #schedule: Schedule;
  readonly #slots: Map<string, { parameter: Parameter; decays: boolean; velocity: Tensor<"f32"> | undefined }>;

  constructor(parameters: ReadonlyMap<string, Parameter>, options: SgdOptions) {
    this.#options = options;
    this.#schedule = scheduleOf(options.learningRate);
    const { momentum = 0, decays = isMatrix } = options;
    this.#slots = new Map(
      [...parameters].map(([name, parameter]) => {
        const velocity = momentum > 0 ? keep(zeros(parameter.device, parameter.shape, "f32")) : undefined;
        return [name, { parameter, decays: decays(name, parameter), velocity }];
      }),
    );
  }

  step(gradients: ReadonlyMap<Tensor, Tensor<"f32">>, step: number, totalSteps: number): OptimizerStep {
    const { momentum = 0, nesterov = false, weightDecay = 0, clipNorm = 0 } = this.#options;
    const rate = this.#schedule(step, totalSteps);
    const control = gradientControl([...gradients.values()], clipNorm);
    for (const { parameter, decays, velocity } of this.#slots.values()) {
      const gradient = gradients.get(parameter);
      const decay = decays ? rate * weightDecay : 0;
      if (gradient) sgdUpdate(parameter, velocity, gradient, control, { rate, momentum, nesterov, decay });
    }
    return { control, learningRate: rate };
  }

  state(): Map<string, Tensor<"f32">> {
    return new Map(
      [...this.#slots].flatMap(([name, { velocity }]) => (velocity ? [[`${name}.momentum_buffer`, velocity]] : [])),
    );
  }

  [Symbol.dispose](): void {
    for (const { velocity } of this.#slots.values()) velocity?.dispose();
  }
}
