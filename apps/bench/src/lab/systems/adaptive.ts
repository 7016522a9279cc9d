import {
  balanceLoss,
  entropyLoss,
  LOSS_COEFFICIENTS,
  NullExpertsRouter,
  nullBalanceLoss,
  TopKRouter,
  TopPRouter,
} from "@moebius/runtime/moe";
import { add, scale } from "@moebius/runtime/ops";
import {
  type LabFigures,
  type LabSystem,
  type LabVariant,
  labModel,
  moeLayers,
  plainVariant,
  SIZES,
} from "../lab-model.ts";
import { signed } from "../summary.ts";

const { hiddenSize, numExperts } = SIZES;

const top2 = plainVariant(
  "top-2 of 8",
  (device) => new TopKRouter(device, { hiddenSize, numExperts, topK: 2, normalizeTopK: true }),
);

/** Experts of a token and loss beside top-2's; a loss within 1 % at fewer experts is what is claimed. */
const savings =
  (...names: string[]): NonNullable<LabSystem["observe"]> =>
  (figures) =>
    names.map((name) => {
      const [ours, theirs] = [figures(name), figures("top-2 of 8")];
      const change = (of: (figures: LabFigures) => number) => 100 * (of(ours) / of(theirs) - 1);
      const [experts, loss] = [change((f) => f.activeExperts), change((f) => f.loss)];
      const isShown = experts < -5 && loss < 1;
      return `${name}: ${signed(experts, 0)} % experts a token, ${signed(loss, 1)} % loss beside top-2: ${isShown ? "shown" : "not shown"}`;
    });

const adaMoeVariant = (numNullExperts: number): LabVariant => ({
  name: `AdaMoE, 4 of 8 + ${numNullExperts} null`,
  make: (device, vocabSize) => {
    const sizes = { hiddenSize, numExperts, numNullExperts, numChoices: 4 };
    const feedForwards = moeLayers(device, () => new NullExpertsRouter(device, sizes));
    return {
      model: labModel(device, vocabSize, {
        feedForwards,
        auxLoss: (routings) =>
          scale(
            routings.map((routing) => nullBalanceLoss(routing, numExperts)).reduce(add),
            LOSS_COEFFICIENTS.balance / routings.length,
          ),
      }),
    };
  },
});

export const adaMoe: LabSystem = {
  name: "adamoe",
  claim:
    "With null experts among the choices a token takes as many true experts as it needs: the loss of top-2 with 15 to 20 % fewer of them (Zeng et al. 2024, arXiv:2406.13233; Mixtral: 14.55 % fewer flops)",
  variants: [top2, adaMoeVariant(8), adaMoeVariant(12)],
  expects: [["AdaMoE, 4 of 8 + 8 null", "top-2 of 8"]],
  observe: savings("AdaMoE, 4 of 8 + 8 null", "AdaMoE, 4 of 8 + 12 null"),
};

/** A hundred times the published coefficient, for runs of a few hundred steps. */
const ENTROPY = 1e-2;

const topP = (threshold: number, entropy: number): LabVariant => ({
  name: `top-p ${threshold}${entropy === 0 ? ", no entropy loss" : ""}`,
  make: (device, vocabSize) => {
    const feedForwards = moeLayers(device, () => new TopPRouter(device, { hiddenSize, numExperts, threshold }));
    return {
      model: labModel(device, vocabSize, {
        feedForwards,
        auxLoss: (routings) => {
          const balance = scale(balanceLoss(routings), LOSS_COEFFICIENTS.balance);
          return entropy === 0 ? balance : add(balance, scale(entropyLoss(routings), entropy));
        },
      }),
    };
  },
});

export const dynamicMoe: LabSystem = {
  name: "dynamic-moe",
  claim:
    "Top-p routing takes more experts where the router is unsure; with the entropy loss fewer than 2 on average at no loss of quality (Huang et al. 2024, arXiv:2403.07652; 1.76 experts a token, +0.7 % accuracy)",
  variants: [top2, topP(0.4, ENTROPY), topP(0.4, 0)],
  expects: [["top-p 0.4", "top-2 of 8"]],
  observe: (figures) => [
    ...savings("top-p 0.4", "top-p 0.4, no entropy loss")(figures),
    `the entropy loss has the coefficient ${ENTROPY}: the published ${LOSS_COEFFICIENTS.entropy} moves little in so few steps`,
  ],
};
