import { GruCell, RecurrentRouter, type RecurrentRouterOptions, TopKRouter } from "@moebius/runtime/moe";
import { balanced, type LabSystem, type LabVariant, labModel, moeLayers, plainVariant, SIZES } from "../lab-model.ts";

const SIZE = { hiddenSize: SIZES.hiddenSize, numExperts: 16, topK: 2 };
/** Width of the recurrent state. */
const CELL = 32;

const recurrent = (name: string, passing: NonNullable<RecurrentRouterOptions["passing"]>): LabVariant => ({
  name,
  make: (device, vocabSize) => {
    const cell = new GruCell(device, CELL);
    const feedForwards = moeLayers(device, () => new RecurrentRouter(device, { ...SIZE, cell, passing }), SIZE);
    const shared = { "model.rnn_router": cell };
    return { model: labModel(device, vocabSize, { feedForwards, shared, auxLoss: balanced }) };
  },
});

export const rmoe: LabSystem = {
  name: "rmoe",
  claim:
    "A recurrent cell over depth that feeds the routers lowers the loss; less so when its state is not passed, or detached (Qiu et al. 2024, arXiv:2408.06793; Enwik8: 1.141 bits against 1.150 and 1.159)",
  variants: [
    plainVariant("linear router", (device) => new TopKRouter(device, { ...SIZE, normalizeTopK: true }), SIZE),
    recurrent("RMoE", "state"),
    recurrent("RMoE, not passed", "none"),
    recurrent("RMoE, detached", "detached"),
  ],
  expects: [
    ["RMoE", "linear router"],
    ["RMoE", "RMoE, not passed"],
    ["RMoE", "RMoE, detached"],
  ],
};
