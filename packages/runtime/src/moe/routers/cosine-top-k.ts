import type { Device } from "../../device/device.ts";
import { full } from "../../kernels/fill.ts";
import { addScalar, divide, maximum, sqrt, square } from "../../ops/elementwise.ts";
import { reshape } from "../../ops/layout.ts";
import { linear } from "../../ops/matmul.ts";
import { sum } from "../../ops/reduction.ts";
import { softmaxTopK } from "../../ops/top-k.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type Routing, sparseRouting } from "../routing.ts";
import { type RouteContext, Router, type RouterOptions } from "./router.ts";
import { sigmoidTopK } from "./sigmoid-top-k.ts";

type F32 = Tensor<"f32">;

export interface CosineTopKRouterOptions extends RouterOptions {
  /** Width in which tokens and experts are compared. Default ⌈E / 2⌉ */
  routingSize?: number;
  /** What the scores are of the logits. Default softmax */
  scoring?: "softmax" | "sigmoid";
  /** First value of the learned temperature τ. Default 0.3 */
  temperature?: number;
  /** Divides the chosen scores by their sum. Default false */
  normalizeTopK?: boolean;
}

/** A vector shorter than this is not stretched to length 1, so that a zero stays finite. */
const LEAST_NORM = 1e-4;
const LEAST_TEMPERATURE = 0.01;

/**
 * Logits are cosines, which representation collapse does not feed on: l = cos(P x, e) / τ with P to a narrow space; the weights are
 * the K largest softmax(l) or sigmoid(l). τ is learned, and at least 0.01.
 * @see Chi et al. 2022, arXiv:2204.09179, section 3.2 (X-MoE)
 */
export class CosineTopKRouter extends Router {
  /** [D, H] */
  readonly projection;
  /** [E, D] */
  readonly weight;
  /** [1] τ */
  readonly temperature;
  readonly scoring: "softmax" | "sigmoid";
  readonly normalizeTopK: boolean;

  constructor(device: Device, options: CosineTopKRouterOptions) {
    super(device, options);
    const { routingSize = Math.ceil(options.numExperts / 2), temperature = 0.3 } = options;
    this.projection = this.parameter("projection", [routingSize, this.hiddenSize], this.initializer);
    this.weight = this.parameter("weight", [this.numExperts, routingSize], this.initializer);
    this.temperature = this.parameter("temperature", [1], () => Float32Array.of(temperature));
    this.scoring = options.scoring ?? "softmax";
    this.normalizeTopK = options.normalizeTopK ?? false;
  }

  override route(x: F32, _state?: undefined, { mask }: RouteContext = {}): Routing<undefined> {
    const cosines = linear(unit(linear(x, this.projection)), unit(this.weight)); // [N, E]
    const logits = divide(cosines, maximum(this.temperature, full(this.device, [1], LEAST_TEMPERATURE, "f32")));
    if (this.scoring === "sigmoid")
      return sparseRouting({ ...sigmoidTopK(logits, this.topK, this.normalizeTopK), logits, mask });
    const { values: weights, ...choice } = softmaxTopK(logits, this.topK, { normalize: this.normalizeTopK });
    return sparseRouting({ ...choice, weights, logits, mask });
  }
}

/** Rows of length 1. */
function unit(rows: F32): F32 {
  const norm = sqrt(addScalar(sum(square(rows), -1), LEAST_NORM ** 2));
  return divide(rows, reshape(norm, [rows.axis(0), 1]));
}
