import { consistencyLoss, StochasticRouter, SwitchRouter } from "@moebius/runtime/moe";
import { add, reshape, scale } from "@moebius/runtime/ops";
import { RandomKey } from "@moebius/runtime/tensor";
import { type LabSystem, type LabVariant, labModel, moeLayers, plainVariant, SIZES } from "../lab-model.ts";

const { hiddenSize } = SIZES;
const NUM_EXPERTS = 4;

const stochastic = (name: string, consistency: number): LabVariant => ({
  name,
  make: (device, vocabSize) => {
    const routers = () => new StochasticRouter(device, { hiddenSize, numExperts: NUM_EXPERTS });
    const model = labModel(device, vocabSize, {
      feedForwards: moeLayers(device, routers, { numExperts: NUM_EXPERTS }),
    });
    return {
      model,
      evaluationKey: new RandomKey(5),
      loss: (ids, { key }) => {
        const pass = (name: string) => model.loss(ids, ids, { training: true, key: key.split(name) });
        const [first, second] = [pass("first"), pass("second")];
        const logits = [first, second].map(({ output }) => reshape(model.logits(output.last), [-1, vocabSize])) as [
          typeof first.loss,
          typeof first.loss,
        ];
        const entropy = scale(add(first.crossEntropy, second.crossEntropy), 0.5);
        const loss = consistency === 0 ? entropy : add(entropy, scale(consistencyLoss(...logits), consistency));
        return { loss, routings: first.output.routings };
      },
    };
  },
});

export const thor: LabSystem = {
  name: "thor",
  claim:
    "Experts drawn at random, two passes a batch held together by a consistency loss, beat a learned Switch gate; without that loss less so (Zuo et al. 2021, arXiv:2110.04260; +2 BLEU)",
  variants: [
    plainVariant("Switch", (device) => new SwitchRouter(device, { hiddenSize, numExperts: NUM_EXPERTS }), {
      numExperts: NUM_EXPERTS,
    }),
    stochastic("THOR", 1),
    stochastic("THOR, no consistency", 0),
  ],
  expects: [
    ["THOR", "Switch"],
    ["THOR", "THOR, no consistency"],
  ],
};
