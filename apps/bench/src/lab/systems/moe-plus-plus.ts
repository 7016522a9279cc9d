import {
  type GatingResidual,
  GatingResidualRouter,
  heterogeneousBalanceLoss,
  LOSS_COEFFICIENTS,
  TopKRouter,
  ZeroComputationExperts,
} from "@moebius/runtime/moe";
import { add, scale } from "@moebius/runtime/ops";
import { type LabSystem, type LabVariant, labModel, layersWith, plainVariant, SIZES } from "../lab-model.ts";
import { signed } from "../summary.ts";

const { hiddenSize, numExperts: numTrueExperts, intermediateSize } = SIZES;
const SPECIAL = { constant: 2, copy: 1, zero: 1 };
const numExperts = numTrueExperts + 4;
const topK = 2;

const withShare = (zeroComputationShare: number): LabVariant => ({
  name: `MoE++, tau ${zeroComputationShare}`,
  make: (device, vocabSize) => {
    const feedForwards = layersWith<GatingResidual>(
      device,
      () => new GatingResidualRouter(device, { hiddenSize, numExperts, topK, zeroComputation: SPECIAL }),
      () =>
        new ZeroComputationExperts(device, { hiddenSize, numExperts, intermediateSize, ...SPECIAL, inputScale: topK }),
    );
    return {
      model: labModel(device, vocabSize, {
        feedForwards,
        auxLoss: (routings) =>
          scale(
            routings
              .map((routing) => heterogeneousBalanceLoss(routing, { numTrueExperts, zeroComputationShare }))
              .reduce(add),
            LOSS_COEFFICIENTS.heterogeneousBalance,
          ),
      }),
    };
  },
});

export const moePlusPlus: LabSystem = {
  name: "moe-plus-plus",
  claim:
    "Zero, copy and constant experts beside the true ones make a layer cheaper at no loss of quality: about 1.3 to 1.5 true experts a token in place of 2 at tau 0.75, fewer at smaller tau (Jin et al. 2024, arXiv:2410.07348)",
  variants: [
    plainVariant(
      "MoE, top-2 of 8",
      (device) => new TopKRouter(device, { hiddenSize, numExperts: numTrueExperts, topK, normalizeTopK: true }),
    ),
    withShare(0.75),
    withShare(0.25),
  ],
  expects: [["MoE++, tau 0.75", "MoE, top-2 of 8"]],
  observe: (figures) =>
    ["MoE++, tau 0.75", "MoE++, tau 0.25"].map((name) => {
      const [ours, theirs] = [figures(name), figures("MoE, top-2 of 8")];
      const loss = 100 * (ours.loss / theirs.loss - 1);
      const isShown = ours.activeExperts < 1.9 && loss < 1;
      return `${name}: ${ours.activeExperts.toFixed(2)} true experts a token at ${signed(loss, 1)} % loss: ${isShown ? "shown" : "not shown"}`;
    }),
};
