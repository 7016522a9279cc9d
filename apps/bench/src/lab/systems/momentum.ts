import { type MomentumOptions, TopKRouter } from "@moebius/runtime/moe";
import { balanced, type LabSystem, type LabVariant, labModel, moeLayers, SIZES } from "../lab-model.ts";
import { signed } from "../summary.ts";

const { hiddenSize, numExperts } = SIZES;

const withResidual = (name: string, momentum?: MomentumOptions): LabVariant => ({
  name,
  make: (device, vocabSize) => {
    const router = () => new TopKRouter(device, { hiddenSize, numExperts, topK: 2, normalizeTopK: true, bias: true });
    const parts = { feedForwards: moeLayers(device, router), auxLoss: balanced };
    return { model: labModel(device, vocabSize, { ...parts, ...(momentum ? { momentum } : {}) }) };
  },
});

const SMALL = { mu: 0.7, gamma: 1 };

export const momentum: LabSystem = {
  name: "momentum",
  claim:
    "Momentum through depth in the residuals of MoE layers lowers the loss, Adam in the first layer more, and more so on corrupted text (Teo and Nguyen 2024, arXiv:2410.14574; WikiText-103: perplexity 35.55, 33.46, 33.25)",
  variants: [
    withResidual("SMoE"),
    withResidual("momentum", { kind: "momentum", ...SMALL }),
    withResidual("robust momentum", { kind: "robust", conditionNumber: 4, smoothness: 1, rate: 0.6 }),
    withResidual("Adam", { kind: "adam", ...SMALL }),
  ],
  hasCorruptedText: true,
  expects: [
    ["momentum", "SMoE"],
    ["robust momentum", "SMoE"],
    ["Adam", "momentum"],
  ],
  observe: (figures) => {
    const gap = (name: string, of: (variant: string) => number) => of(name) - of("SMoE");
    return ["momentum", "robust momentum", "Adam"].map((name) => {
      const clean = gap(name, (variant) => figures(variant).loss);
      const swapped = gap(name, (variant) => figures(variant).also["5 % swapped"] as number);
      return `${name} against SMoE with 5 % of the characters swapped: ${signed(swapped)}, clean ${signed(clean)}: the gap ${swapped < clean ? "widens" : "does not widen"}`;
    });
  },
};
