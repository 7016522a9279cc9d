import type { Device } from "@moebius/runtime/device";
import {
  CometRouter,
  LOSS_COEFFICIENTS,
  PermutationLearner,
  permutationEntropy,
  type SelectorRouting,
  selectorEntropy,
  TopKRouter,
} from "@moebius/runtime/moe";
import { add, scale } from "@moebius/runtime/ops";
import { type LabRun, type LabSystem, labModel, moeLayers, plainVariant, SIZES } from "../lab-model.ts";

const { hiddenSize, numExperts } = SIZES;
const NUM_TREES = 2;
const { selectorEntropy: SELECTORS, permutationEntropy: PERMUTATION } = LOSS_COEFFICIENTS;

/** @param searches whether the order of the experts is learned, in the first fifth of the run */
function comet(device: Device, vocabSize: number, searches: boolean, steps = 1): LabRun {
  const learners: PermutationLearner[] = [];
  const layers = moeLayers(device, () => {
    const learner = searches ? new PermutationLearner(device, { numExperts, steps }) : undefined;
    if (learner) learners.push(learner);
    const sizes = { hiddenSize, numExperts, numTrees: NUM_TREES, stepWidth: 1 };
    return new CometRouter(device, { ...sizes, ...(learner ? { learner } : {}) });
  });
  return {
    model: labModel(device, vocabSize, {
      feedForwards: layers,
      auxLoss: (routings) => {
        const entropies = routings.map((routing) => scale(selectorEntropy(routing as SelectorRouting), SELECTORS));
        const soft = learners.filter(({ isFixed }) => !isFixed);
        const orders = soft.map((learner) => scale(permutationEntropy(learner.permutation()), PERMUTATION));
        return [...entropies, ...orders].reduce(add);
      },
    }),
    beforeStep: (step, total) => {
      for (const learner of learners) learner.step = Math.round((step * steps) / (0.2 * total));
    },
    betweenSteps: async (done, total) => {
      for (const learner of learners) if (!learner.isFixed && done >= 0.2 * total) await learner.fix();
    },
  };
}

export const cometSystem: LabSystem = {
  name: "comet",
  claim:
    "A tree gate that sharpens to k experts trains without the jumps of top-k and ends below it, and a learned order of the experts adds to it (Ibrahim et al. 2023, arXiv:2306.02824; up to 13 % AUC over top-k)",
  variants: [
    plainVariant(
      "top-2 of 8",
      (device) => new TopKRouter(device, { hiddenSize, numExperts, topK: NUM_TREES, normalizeTopK: true }),
    ),
    { name: "COMET", make: (device, vocabSize) => comet(device, vocabSize, false) },
    { name: "COMET + local search", make: (device, vocabSize) => comet(device, vocabSize, true, 100) },
  ],
  expects: [
    ["COMET", "top-2 of 8"],
    ["COMET + local search", "COMET"],
  ],
};
