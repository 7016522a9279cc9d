import { ConfigError } from "../device/errors.ts";
import { adamwUpdate } from "../kernels/adamw.ts";
import { zeros } from "../kernels/fill.ts";
import { gradientControl } from "../kernels/gradient-norm.ts";
import type { Parameter } from "../nn/module.ts";
import { keep } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { isMatrix, type Optimizer, type OptimizerDefinition, type OptimizerStep } from "./optimizer.ts";
import { type Schedule, scheduleOf } from "./schedules.ts";

export interface AdamwOptions {
  learningRate: number | Schedule;
  /** Default [0.9, 0.999]. */
  betas?: readonly [number, number];
  /** Default 1e-8. */
  epsilon?: number;
  /** Decoupled from the gradient. Default 0.01. */
  weightDecay?: number;
  /** Which parameters decay. Default: those of rank 2 or more, so no biases and norms. */
  decays?: (name: string, parameter: Parameter) => boolean;
  /** Largest norm of all gradients together; longer ones are scaled down. Default: no limit. */
  clipNorm?: number;
}

/**
 * Adam with decoupled weight decay. A step whose gradients are not finite changes nothing.
 * @throws {ConfigError} for a setting out of range
 * @see Loshchilov and Hutter 2017, arXiv:1711.05101, algorithm 2
 */
export function adamw(options: AdamwOptions): OptimizerDefinition {
  const { betas: [beta1, beta2] = [0.9, 0.999], epsilon = 1e-8, weightDecay = 0.01, clipNorm = 0 } = options;
  if (!(beta1 >= 0 && beta1 < 1 && beta2 >= 0 && beta2 < 1 && epsilon > 0 && weightDecay >= 0 && clipNorm >= 0))
    throw new ConfigError(
      `adamw: need 0 ≤ betas < 1, epsilon > 0, weightDecay ≥ 0, clipNorm ≥ 0; got betas ${beta1}, ${beta2}, epsilon ${epsilon}, weightDecay ${weightDecay}, clipNorm ${clipNorm}`,
    );
  return { bind: (parameters) => new Adamw(parameters, options) };
}

class Adamw implements Optimizer {
  readonly #options: AdamwOptions;
  readonly #schedule: Schedule;
  readonly #slots: Map<string, { parameter: Parameter; decays: boolean; first: Tensor<"f32">; second: Tensor<"f32"> }>;

  constructor(parameters: ReadonlyMap<string, Parameter>, options: AdamwOptions) {
    this.#options = options;
    this.#schedule = scheduleOf(options.learningRate);
    const { decays = isMatrix } = options;
    this.#slots = new Map(
      [...parameters].map(([name, parameter]) => {
        const moment = () => keep(zeros(parameter.device, parameter.shape, "f32"));
        return [name, { parameter, decays: decays(name, parameter), first: moment(), second: moment() }];
      }),
    );
  }

  step(gradients: ReadonlyMap<Tensor, Tensor<"f32">>, step: number, totalSteps: number): OptimizerStep {
    const { betas = [0.9, 0.999], epsilon = 1e-8, weightDecay = 0.01, clipNorm = 0 } = this.#options;
    // The moments decay by the rounded betas: corrected for those, the means are exact.
    const [beta1, beta2] = [Math.fround(betas[0]), Math.fround(betas[1])];
    const learningRate = this.#schedule(step, totalSteps);
    const control = gradientControl([...gradients.values()], clipNorm);
    const rate = learningRate / (1 - beta1 ** (step + 1));
    const second = 1 / (1 - beta2 ** (step + 1));
    for (const { parameter, decays, ...moments } of this.#slots.values()) {
      const gradient = gradients.get(parameter);
      const decay = decays ? learningRate * weightDecay : 0;
      if (gradient) adamwUpdate(parameter, moments, gradient, control, { beta1, beta2, rate, second, epsilon, decay });
    }
    return { control, learningRate };
  }

  state(): Map<string, Tensor<"f32">> {
    return new Map(
      [...this.#slots].flatMap(([name, { first, second }]) => [
        [`${name}.exp_avg`, first],
        [`${name}.exp_avg_sq`, second],
      ]),
    );
  }

  [Symbol.dispose](): void {
    for (const { first, second } of this.#slots.values()) {
      first.dispose();
      second.dispose();
    }
  }
}
