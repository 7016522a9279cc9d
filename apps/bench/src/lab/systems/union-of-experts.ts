import type { Device } from "@moebius/runtime/device";
import { MlpExperts, TopKRouter, UnionFeedForward, type UnionFeedForwardOptions } from "@moebius/runtime/moe";
import { Module } from "@moebius/runtime/nn";
import { subtract } from "@moebius/runtime/ops";
import type { Tensor } from "@moebius/runtime/tensor";
import { balanced, type LabSystem, type LabVariant, labModel, layersWith, SIZES } from "../lab-model.ts";

const { hiddenSize, numLayers, intermediateSize } = SIZES;
const NUM_EXPERTS = 4;

/**
 * A dense MLP in four parts, of which a token takes K. Released layers fill experts up with other tokens, and later tokens decide about
 * earlier ones: of no use to a language model, so that here a token goes to its own K experts and nothing else matters. The
 * gate learns by a straight-through gradient; the released one does not learn.
 */
class UnionBlock extends Module {
  readonly union: UnionFeedForward;

  constructor(device: Device, topK: number, gate: NonNullable<UnionFeedForwardOptions["gate"]>) {
    super(device);
    this.union = this.child(
      "union",
      new UnionFeedForward(device, {
        hiddenSize,
        intermediateSize: NUM_EXPERTS * intermediateSize,
        numExperts: NUM_EXPERTS,
        topK,
        gate,
        preNorm: true,
        selection: { tokensPerExpert: "largest", fill: false },
      }),
    );
  }

  forward(x: Tensor<"f32">): Tensor<"f32"> {
    return subtract(this.union.forward(x).y, x); // the layer adds x itself
  }
}

const union = (name: string, topK: number, gate: NonNullable<UnionFeedForwardOptions["gate"]>): LabVariant => ({
  name,
  make: (device, vocabSize) => ({
    model: labModel(device, vocabSize, {
      feedForwards: Array.from({ length: numLayers }, () => new UnionBlock(device, topK, gate)),
    }),
    activeShare: topK / NUM_EXPERTS,
  }),
});

export const unionOfExperts: LabSystem = {
  name: "union-of-experts",
  claim:
    "A dense MLP cut into experts, of which a token takes half, loses less than an MoE of the same flops (Yang et al. 2025, arXiv:2503.02495; 2.38 lower perplexity than the best MoE at 76 % of its flops). Here the MLP alone, with the choice that is safe for a language model",
  variants: [
    {
      name: "MoE, top-2 of 4",
      make: (device, vocabSize) => {
        const sizes = { hiddenSize, numExperts: NUM_EXPERTS, topK: 2, normalizeTopK: true };
        const feedForwards = layersWith(
          device,
          () => new TopKRouter(device, sizes),
          () => new MlpExperts(device, { hiddenSize, numExperts: NUM_EXPERTS, intermediateSize, bias: true }),
        );
        return { model: labModel(device, vocabSize, { feedForwards, auxLoss: balanced }) };
      },
    },
    union("union, 2 of 4", 2, "straight-through"),
    union("dense MLP", NUM_EXPERTS, "none"),
  ],
  expects: [
    ["union, 2 of 4", "MoE, top-2 of 4"],
    ["dense MLP", "union, 2 of 4"],
  ],
};
