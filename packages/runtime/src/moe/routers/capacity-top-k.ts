import type { Device } from "../../device/device.ts";
import { argsortDescending } from "../../kernels/argsort.ts";
import { multiply } from "../../ops/elementwise.ts";
import { reshape } from "../../ops/layout.ts";
import { linear } from "../../ops/matmul.ts";
import { softmaxTopK } from "../../ops/top-k.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type CapacityOptions, capacityOf, routingGroupsOf } from "../capacity.ts";
import { planTopK } from "../plan.ts";
import type { Routing } from "../routing.ts";
import { rowMask, shares } from "./choices.ts";
import { type RouteContext, Router, type RouterOptions } from "./router.ts";

export interface CapacityTopKRouterOptions extends RouterOptions, CapacityOptions {
  /** Which of an expert's tokens find room: those with the largest `probs` (default), or the first by `position`. */
  dropPolicy?: "probs" | "position";
}

/**
 * K experts a token with limited capacity: p = softmax(W x), the weights are the p of the choices that found room over their sum.
 * C = max(⌈N / E · capacityFactor · K⌉, minCapacity). Loss: balanceLoss "switch" with 0.01.
 * @see Kim et al. 2021, arXiv:2109.10465: the gate that DeepSpeed has for K > 2
 */
export class CapacityTopKRouter extends Router {
  readonly weight = this.parameter("weight", [this.numExperts, this.hiddenSize], this.initializer);
  readonly options: CapacityTopKRouterOptions;

  constructor(device: Device, options: CapacityTopKRouterOptions) {
    super(device, options);
    this.options = options;
  }

  override route(x: Tensor<"f32">, _state?: undefined, context: RouteContext = {}): Routing<undefined> {
    const { numExperts, topK, options } = this;
    const logits = linear(x, this.weight); // [N, E]
    const { probs, indices, values } = softmaxTopK(logits, topK); // [N, K]
    const routingGroups = routingGroupsOf(x.axis(0), options.groupSize);
    const capacity = capacityOf(x.axis(0) / routingGroups, numExperts, topK, options, context);
    const order = options.dropPolicy === "position" ? undefined : argsortDescending(reshape(values, [values.size]));
    const plan = planTopK(indices, values, { numExperts, capacity, routingGroups, order, mask: context.mask });
    const weights = shares(multiply(values, rowMask(plan, topK)));
    return { kind: "sparse", plan, weights: reshape(weights, [weights.size]), probs, logits };
  }
}
