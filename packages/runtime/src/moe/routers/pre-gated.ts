import type { Device } from "../../device/device.ts";
import { ConfigError, ShapeError } from "../../device/errors.ts";
import type { Parameter } from "../../nn/module.ts";
import { linear } from "../../ops/matmul.ts";
import { softmaxTopK } from "../../ops/top-k.ts";
import { formatShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type Routing, sparseRouting } from "../routing.ts";
import { type RouteContext, Router, type RouterOptions } from "./router.ts";

type F32 = Tensor<"f32">;

export interface PreGatedRouterOptions extends RouterOptions {
  /** Whether the block chooses its own experts, as the first one must. Default false */
  gate?: boolean;
  /** Whether it chooses those of the next block, as all but the last do. Default true */
  preGate?: boolean;
}

/** What a block chose for the next one. */
export interface PreGatedRoute {
  /** [N, K] */
  indices: Tensor<"u32">;
  /** [N, K] */
  weights: F32;
  /** [N, E] */
  probs: F32;
  /** [N, E] */
  logits: F32;
}

/**
 * Chooses the experts of the next block: p = softmax(W_p x), the K largest p are the weights there, not renormalised. So a block's
 * experts are known, and can be fetched, before the block runs. The route passes on as `state`.
 * @see Hwang et al. 2023, arXiv:2308.12066, section 4
 */
export class PreGatedRouter extends Router<PreGatedRoute> {
  /** [E, H] for this block */
  readonly gate: Parameter | undefined;
  /** [E, H] for the next one */
  readonly preGate: Parameter | undefined;

  constructor(device: Device, { gate = false, preGate = true, ...options }: PreGatedRouterOptions) {
    super(device, options);
    const declare = (name: string) => this.parameter(name, [this.numExperts, this.hiddenSize], this.initializer);
    this.gate = gate ? declare("gate.weight") : undefined;
    this.preGate = preGate ? declare("pre_gate.weight") : undefined;
  }

  /**
   * @throws {ConfigError} when the block has no gate and no route came from the block before
   * @throws {ShapeError} when that route is for another number of tokens
   */
  override route(x: F32, state?: PreGatedRoute, { mask }: RouteContext = {}): Routing<PreGatedRoute> {
    const own = this.gate ? this.#choose(x, this.gate) : state;
    if (!own) throw new ConfigError("PreGatedRouter: the block has no gate, and the block before passed no route on");
    if (own.indices.axis(0) !== x.axis(0))
      throw new ShapeError(
        `PreGatedRouter: the route ${formatShape(own.indices.shape)} of the block before is not for ${x.axis(0)} tokens`,
      );
    const next = this.preGate && this.#choose(x, this.preGate);
    return sparseRouting<PreGatedRoute>({ ...own, mask, ...(next ? { state: next } : {}) });
  }

  #choose(x: F32, weight: Parameter): PreGatedRoute {
    const logits = linear(x, weight);
    const { probs, indices, values } = softmaxTopK(logits, this.topK);
    return { indices, weights: values, probs, logits };
  }
}
