import type { Device } from "../../device/device.ts";
import { ConfigError } from "../../device/errors.ts";
import { argsortDescending } from "../../kernels/argsort.ts";
import { randomNormal } from "../../ops/dropout.ts";
import { add, scale } from "../../ops/elementwise.ts";
import { reshape, slice } from "../../ops/layout.ts";
import { linear } from "../../ops/matmul.ts";
import { softmaxTopK } from "../../ops/top-k.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { routingGroupsOf, visionCapacity } from "../capacity.ts";
import { type Routing, sparseRouting } from "../routing.ts";
import { type RouteContext, Router, type RouterOptions } from "./router.ts";
import { stepKey } from "./step-key.ts";

type F32 = Tensor<"f32">;

export interface VisionRouterOptions extends RouterOptions {
  /** Most rows an expert takes as a multiple of an even share. Default 1.05; 1 for expert choice */
  capacityFactor?: number;
  /** Rows are raised to a multiple of it. Default 4 */
  capacityMultipleOf?: number;
  /** How a share that is no whole number of rows becomes one. Default ceil */
  capacityRounding?: "ceil" | "round";
  /** Tokens routed and counted together; it divides the number of tokens. Default: all */
  groupSize?: number;
  /** In training N(0, 1) · noiseStd / E is added to the logits. Default 1 */
  noiseStd?: number;
}

export interface VMoeRouterOptions extends VisionRouterOptions {
  /** Serves the tokens with the largest weights first when capacity is short. Default false */
  batchPriority?: boolean;
}

/** Noise of a step in place of the key's. */
export interface VisionContext extends RouteContext {
  /** [N, E] standard normal */
  noise?: F32;
}

/** What the routers of V-MoE share: the gate, its noise, and how rows are counted. */
export abstract class VisionRouter extends Router {
  readonly weight = this.parameter("weight", [this.numExperts, this.hiddenSize], this.initializer);
  /** It may change between calls: accuracy is traded for work without reloading. */
  capacityFactor: number;
  readonly groupSize: number | undefined;
  readonly noiseStd: number;
  readonly #counting: { multipleOf: number; rounding: "ceil" | "round" };

  /** @throws {ConfigError} for a negative noiseStd */
  constructor(device: Device, options: VisionRouterOptions & { capacityFactor: number }) {
    super(device, options);
    this.capacityFactor = options.capacityFactor;
    this.groupSize = options.groupSize;
    this.noiseStd = options.noiseStd ?? 1;
    this.#counting = { multipleOf: options.capacityMultipleOf ?? 4, rounding: options.capacityRounding ?? "ceil" };
    if (!(this.noiseStd >= 0))
      throw new ConfigError(`${this.constructor.name}: noiseStd is ${this.noiseStd}, expected 0 or more`);
  }

  /** C: rows of an expert in a routing group of S tokens, of which each counts `choices` times. */
  protected rowsPerExpert(groupTokens: number, choices: number): number {
    return visionCapacity(groupTokens, this.numExperts, {
      ...this.#counting,
      factor: this.capacityFactor,
      topK: choices,
    });
  }

  protected routingGroups(numTokens: number): number {
    return routingGroupsOf(numTokens, this.groupSize);
  }

  /** logits + N(0, 1) · noiseStd / E in training; undefined without noise. */
  protected noisy(
    logits: F32,
    { noise, ...context }: VisionContext,
  ): { noisyLogits: F32; deviation: number; topK: number } | undefined {
    const { noiseStd, numExperts, topK } = this;
    if (noiseStd === 0 || !(noise || context.training)) return undefined;
    const deviation = noiseStd / numExperts;
    const drawn = noise ?? randomNormal(this.device, stepKey(this.constructor.name, "noise", context), logits.shape);
    return { noisyLogits: add(logits, scale(drawn, deviation)), deviation, topK };
  }
}

/**
 * p = softmax(W x + noise), the K largest p are the weights, as they are; all first choices are served before all second ones.
 * C = ⌈S · K · capacityFactor / E⌉, raised to a multiple. Losses: importanceLoss and loadLoss with 0.005 each.
 * @see Riquelme et al. 2021, arXiv:2106.05974, sections 2 to 4
 */
export class VMoeRouter extends VisionRouter {
  /** It may change between calls. */
  batchPriority: boolean;

  constructor(device: Device, options: VMoeRouterOptions) {
    super(device, { ...options, capacityFactor: options.capacityFactor ?? 1.05 });
    this.batchPriority = options.batchPriority ?? false;
  }

  override route(x: F32, _state?: undefined, context: VisionContext = {}): Routing<undefined> {
    const numTokens = x.axis(0);
    const logits = linear(x, this.weight); // [N, E]
    const noise = this.noisy(logits, context);
    const { probs, indices, values: weights } = softmaxTopK(noise?.noisyLogits ?? logits, this.topK); // [N, K]
    const routingGroups = this.routingGroups(numTokens);
    const capacity = this.rowsPerExpert(numTokens / routingGroups, this.topK);
    const order = this.batchPriority ? argsortDescending(reshape(slice(weights, 1, 0, 1), [numTokens])) : undefined;
    const serving = { capacity, priority: "choice", routingGroups, order, mask: context.mask } as const;
    return sparseRouting({ indices, weights, probs, logits, ...serving, noise });
  }
}
