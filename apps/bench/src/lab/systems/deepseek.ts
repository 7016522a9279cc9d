import { GroupLimitedRouter, GShardRouter, MoeLayer, SwigluExperts } from "@moebius/runtime/moe";
import { SwigluFeedForward } from "@moebius/runtime/nn";
import { balanced, type LabSystem, type LabVariant, labModel, plainVariant, SIZES } from "../lab-model.ts";

const { hiddenSize, intermediateSize, numExperts, numLayers } = SIZES;
/** Each expert is cut into so many. */
const SEGMENTS = 4;
const FINE = intermediateSize / SEGMENTS;

/** So many of a token's eight fine experts are shared by all tokens. */
const fine = (name: string, numShared: number): LabVariant => ({
  name,
  make: (device, vocabSize) => {
    const routed = SEGMENTS * numExperts - numShared;
    const feedForwards = Array.from(
      { length: numLayers },
      () =>
        new MoeLayer(device, {
          router: new GroupLimitedRouter(device, { hiddenSize, numExperts: routed, topK: 2 * SEGMENTS - numShared }),
          experts: new SwigluExperts(device, { hiddenSize, numExperts: routed, intermediateSize: FINE }),
          ...(numShared > 0
            ? { sharedExpert: new SwigluFeedForward(device, { hiddenSize, intermediateSize: numShared * FINE }) }
            : {}),
        }),
    );
    return { model: labModel(device, vocabSize, { feedForwards, auxLoss: balanced }) };
  },
});

export const deepseek: LabSystem = {
  name: "deepseek",
  claim:
    "At equal total and active parameters fine-grained experts beat GShard's top-2, and a shared expert adds to it (Dai et al. 2024, arXiv:2401.06066; a 2B model matches GShard's 2.9B)",
  variants: [
    plainVariant("GShard, top-2 of 8", (device) => new GShardRouter(device, { hiddenSize, numExperts })),
    fine("fine-grained, top-8 of 32", 0),
    fine("fine-grained, 1 shared + top-7 of 31", 1),
    {
      name: "dense twin",
      make: (device, vocabSize) => {
        const dense = () => new SwigluFeedForward(device, { hiddenSize, intermediateSize: 2 * intermediateSize });
        return { model: labModel(device, vocabSize, { feedForwards: Array.from({ length: numLayers }, dense) }) };
      },
    },
  ],
  expects: [
    ["fine-grained, top-8 of 32", "GShard, top-2 of 8"],
    ["fine-grained, 1 shared + top-7 of 31", "fine-grained, top-8 of 32"],
    ["GShard, top-2 of 8", "dense twin"],
  ],
};
