import type { Device } from "@moebius/runtime/device";
import { type MoeLayer, numActiveExperts, RandomFixedRouter, TopKRouter } from "@moebius/runtime/moe";
import { type LabRun, type LabSystem, labModel, moeLayers, SIZES } from "../lab-model.ts";

const { hiddenSize, numExperts } = SIZES;
const COUNTS = [1, 2, 4, 8];

/** The loss with each number of experts at inference. */
const byCount =
  (layers: readonly MoeLayer[], setCount: (layer: MoeLayer, k: number) => void): NonNullable<LabRun["also"]> =>
  async (evaluate) => {
    const found: Record<string, number> = {};
    for (const k of COUNTS) {
      for (const layer of layers) setCount(layer, k);
      found[`k = ${k}`] = await evaluate();
    }
    return found;
  };

function learned(device: Device, vocabSize: number): LabRun {
  const layers = moeLayers(
    device,
    () => new TopKRouter(device, { hiddenSize, numExperts, topK: 2, normalizeTopK: true }),
  );
  return {
    model: labModel(device, vocabSize, { feedForwards: layers }),
    also: byCount(layers, ({ router }, k) => void Object.assign(router, { topK: k })), // fixed by design, varied here
  };
}

function random(device: Device, vocabSize: number): LabRun {
  const layers = moeLayers(
    device,
    () => new RandomFixedRouter(device, { hiddenSize, numExperts, topK: numExperts / 2 }),
  );
  const setCount = ({ router }: MoeLayer, k: number) => {
    (router as RandomFixedRouter).numActive = k;
  };
  const range = { minimum: numExperts / 2, maximum: numExperts };
  return {
    model: labModel(device, vocabSize, { feedForwards: layers }),
    beforeStep: (step, totalSteps) => {
      const k = numActiveExperts({ schedule: "linear-increase", step, totalSteps, ...range });
      for (const layer of layers) setCount(layer, k);
    },
    also: byCount(layers, setCount),
  };
}

export const smoeDropout: LabSystem = {
  name: "smoe-dropout",
  claim:
    "With a random fixed router and k rising in training, quality rises with k at inference; a learned top-2 router gets no better beyond its k (Chen et al. 2023, arXiv:2303.01610)",
  variants: [
    { name: "learned top-2", make: learned },
    { name: "SMoE-Dropout", make: random },
  ],
  expects: [["SMoE-Dropout", "learned top-2"]],
  observe: (figures) => {
    const byK = (name: string) => COUNTS.map((k) => figures(name).also[`k = ${k}`] as number);
    const [random, learnedLoss] = [byK("SMoE-Dropout"), byK("learned top-2")];
    const falls = random.every((loss, i) => i === 0 || loss <= (random[i - 1] as number));
    const best = COUNTS[learnedLoss.indexOf(Math.min(...learnedLoss))];
    return [
      `SMoE-Dropout gets better with each step of k: ${falls ? "shown" : "not shown"}`,
      `the learned router is best at k = ${best}`,
    ];
  },
};
