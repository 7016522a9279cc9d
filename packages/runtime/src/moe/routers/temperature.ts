import type { Device } from "../../device/device.ts";
import { ConfigError } from "../../device/errors.ts";
import { zeros } from "../../nn/initializers.ts";
import type { Parameter } from "../../nn/module.ts";
import { add, exp, gelu, multiply, negate, sigmoid, tanh } from "../../ops/elementwise.ts";
import { linear } from "../../ops/matmul.ts";
import { softmaxTopK } from "../../ops/top-k.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type Routing, sparseRouting } from "../routing.ts";
import { type RouteContext, Router, type RouterOptions } from "./router.ts";

const ACTIVATIONS = { none: (x: Tensor<"f32">) => x, tanh, sigmoid, gelu };

export interface TemperatureRouterOptions extends Omit<RouterOptions, "topK"> {
  /** σ between the linear layer and the softmax. Default tanh */
  activation?: keyof typeof ACTIVATIONS;
  /** τ to begin with. Default 1 */
  temperature?: number;
  /** Whether τ is learned, by its logarithm; otherwise `setTemperature` follows a schedule. Default true */
  learnsTemperature?: boolean;
  /** Default: all, a dense mixture */
  topK?: number;
}

/**
 * A softmax gate with a temperature, p = softmax((σ(W x) + b) / τ), the K largest p as the weights. Without σ only W / τ and b / τ are
 * determined by the data, so that W and τ cannot be estimated at any polynomial rate; with one they can.
 * @see Nguyen et al. 2024, arXiv:2401.13875, equations 1 and 6
 */
export class TemperatureRouter extends Router {
  readonly weight = this.parameter("weight", [this.numExperts, this.hiddenSize], this.initializer);
  readonly bias = this.parameter("bias", [this.numExperts], zeros);
  /** log τ, [1] */
  readonly logTemperature: Parameter;
  readonly activation: keyof typeof ACTIVATIONS;

  /** @throws {ConfigError} for a temperature that is not above 0 */
  constructor(device: Device, options: TemperatureRouterOptions) {
    super(device, { ...options, topK: options.topK ?? options.numExperts });
    const { temperature = 1, learnsTemperature = true, activation = "tanh" } = options;
    this.activation = activation;
    this.logTemperature = this.parameter("log_temperature", [1], () => Float32Array.of(logOf(temperature)));
    this.logTemperature.write(Float32Array.of(logOf(temperature)));
    this.logTemperature.trainable = learnsTemperature;
  }

  /** @throws {ConfigError} for a temperature that is not above 0 */
  setTemperature(temperature: number): void {
    this.logTemperature.write(Float32Array.of(logOf(temperature)));
  }

  override route(x: Tensor<"f32">, _state?: undefined, { mask }: RouteContext = {}): Routing<undefined> {
    const scores = add(ACTIVATIONS[this.activation](linear(x, this.weight)), this.bias);
    const logits = multiply(scores, exp(negate(this.logTemperature))); // [N, E]
    const { probs, indices, values } = softmaxTopK(logits, this.topK);
    return sparseRouting({ indices, weights: values, probs, logits, mask });
  }
}

function logOf(temperature: number): number {
  if (!(temperature > 0 && temperature < Number.POSITIVE_INFINITY))
    throw new ConfigError(`TemperatureRouter: temperature is ${temperature}, expected above 0`);
  return Math.log(temperature);
}
