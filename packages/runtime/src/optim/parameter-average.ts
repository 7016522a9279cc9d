import { ConfigError } from "../device/errors.ts";
import { movingAverage } from "../kernels/moving-average.ts";
import type { Parameter } from "../nn/module.ts";
import { keep } from "../tensor/scope.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";

/**
 * The exponential moving average (EMA) of parameters, average = decay · average + (1 − decay) · parameter: often a better model
 * than the last step's. It begins as a copy of the parameters.
 * @see Polyak and Juditsky 1992, doi 10.1137/0330046
 */
export class ParameterAverage implements Disposable {
  readonly #decay: number;
  readonly #slots: Map<string, { parameter: Parameter; average: Tensor<"f32"> }>;

  /** @throws {ConfigError} unless 0 ≤ decay < 1 */
  constructor(parameters: ReadonlyMap<string, Parameter>, { decay }: { decay: number }) {
    if (!(decay >= 0 && decay < 1)) throw new ConfigError(`ParameterAverage: need 0 ≤ decay < 1, got ${decay}`);
    this.#decay = decay;
    this.#slots = new Map(
      [...parameters].map(([name, parameter]) => {
        const average = keep(empty(parameter.device, parameter.shape, "f32"));
        return [name, { parameter, average }];
      }),
    );
    this.reset();
  }

  /** Begins again from the parameters as they are now. */
  reset(): void {
    for (const { parameter, average } of this.#slots.values()) copy(parameter, average);
  }

  /** Takes in the parameters after a step. */
  update(): void {
    for (const { parameter, average } of this.#slots.values()) movingAverage(average, parameter, this.#decay);
  }

  /** Exchanges parameters and averages: the model computes with the averages until the next swap. */
  swap(): void {
    for (const { parameter, average } of this.#slots.values()) {
      using held = empty(parameter.device, parameter.shape, "f32");
      copy(parameter, held);
      copy(average, parameter);
      copy(held, average);
    }
  }

  /** The averages, by the names of their parameters. */
  state(): Map<string, Tensor<"f32">> {
    return new Map([...this.#slots].map(([name, { average }]) => [name, average]));
  }

  [Symbol.dispose](): void {
    for (const { average } of this.#slots.values()) average.dispose();
  }
}

function copy(from: Tensor<"f32">, to: Tensor<"f32">): void {
  from.device.copy(from.binding(), to.bindingInPlace());
}
