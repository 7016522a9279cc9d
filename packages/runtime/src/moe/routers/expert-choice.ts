import type { Device } from "../../device/device.ts";
import { full } from "../../kernels/fill.ts";
import { map } from "../../kernels/map.ts";
import { putAlong } from "../../kernels/take-along.ts";
import { multiply } from "../../ops/elementwise.ts";
import { permute, reshape } from "../../ops/layout.ts";
import { linear } from "../../ops/matmul.ts";
import { softmax } from "../../ops/softmax.ts";
import { takeAlong, topK } from "../../ops/top-k.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { viewOf } from "../../tensor/views.ts";
import { type Routing, sparseRouting } from "../routing.ts";
import { onlyChosen } from "./choices.ts";
import { type VisionContext, VisionRouter, type VisionRouterOptions } from "./v-moe.ts";

type F32 = Tensor<"f32">;

export type ExpertChoiceRouterOptions = Omit<VisionRouterOptions, "topK">;

/**
 * Each expert takes its C best tokens by p = softmax(W x), and p is the weight: the load is even, a token has between no and all
 * experts. C = min(S, ⌈S · capacityFactor / E⌉ raised to a multiple); capacityFactor is the mean number of experts of a token. A
 * token's experts depend on the other tokens of its group: not for causal models. It needs no loss.
 * @see Zhou et al. 2022, arXiv:2202.09368, section 3; capacity and noise as in V-MoE's code
 */
export class ExpertChoiceRouter extends VisionRouter {
  constructor(device: Device, options: ExpertChoiceRouterOptions) {
    super(device, { ...options, topK: options.numExperts, capacityFactor: options.capacityFactor ?? 1 });
  }

  /** C for a routing group of S tokens. */
  capacity(groupTokens: number): number {
    return Math.min(groupTokens, this.rowsPerExpert(groupTokens, 1));
  }

  override route(x: F32, _state?: undefined, context: VisionContext = {}): Routing<undefined> {
    const [numTokens, numExperts] = [x.axis(0), this.numExperts];
    const logits = linear(x, this.weight); // [N, E]
    const probs = softmax(this.noisy(logits, context)?.noisyLogits ?? logits);
    const routingGroups = this.routingGroups(numTokens);
    const capacity = this.capacity(numTokens / routingGroups);
    const { mask } = context;
    const chosen = chosenTokens(mask ? withoutPadding(probs, mask) : probs, routingGroups, capacity); // [N, E], 1 or 0
    // A token's experts, best first, then those that did not choose it.
    const { values, indices } = topK(map("select(T(-1.0), a, b == T(1.0))", [probs, chosen]), numExperts);
    const isChosen = map("select(T(1.0), T(0.0), a < T(0.0))", [values]); // NaN counts as chosen, so that it is noticed
    return sparseRouting({
      indices: onlyChosen(indices, isChosen),
      weights: multiply(takeAlong(probs, indices), isChosen),
      probs,
      logits,
      mask,
      routingGroups,
      maxAssignments: routingGroups * numExperts * capacity,
    });
  }
}

/** Padding is chosen last, and gets no row then. */
function withoutPadding(probs: F32, mask: F32): F32 {
  return map("select(a, T(-1.0), b == T(0.0))", [probs, viewOf(mask, [mask.size, 1])]);
}

/** 1 for the C largest of each expert and routing group, 0 elsewhere: [N, E] to [N, E]. */
function chosenTokens(scores: F32, routingGroups: number, capacity: number): F32 {
  const [numTokens = 0, numExperts = 0] = scores.shape;
  const groupTokens = numTokens / routingGroups;
  const { device } = scores;
  if (capacity === 0) return full(device, scores.shape, 0, "f32");
  const byExpert = permute(viewOf(scores, [routingGroups, groupTokens, numExperts]), [0, 2, 1]); // [R, E, S]
  const { indices } = topK(byExpert, capacity);
  const marks = putAlong(full(device, indices.shape, 1, "f32"), indices, groupTokens);
  return reshape(permute(marks, [0, 2, 1]), scores.shape);
}
