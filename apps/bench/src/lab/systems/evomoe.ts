import type { Device } from "@moebius/runtime/device";
import {
  annealedTemperature,
  type DenseToSparseContext,
  DenseToSparseRouter,
  type Routing,
  SwitchRouter,
  sparseRouting,
  spawnExperts,
} from "@moebius/runtime/moe";
import { ones, zeros } from "@moebius/runtime/ops";
import { RandomKey, type Tensor } from "@moebius/runtime/tensor";
import { type LabRun, type LabSystem, labModel, moeLayers, plainVariant, SIZES } from "../lab-model.ts";

const { hiddenSize, numExperts } = SIZES;
/** Share of the run with one expert alone. */
const DENSE_SHARE = 0.2;

/** All tokens to expert 0 until the others are spawned. */
class EvoMoeRouter extends DenseToSparseRouter {
  isDense = true;

  override route(x: Tensor<"f32">, state?: undefined, context: DenseToSparseContext = {}): Routing<undefined> {
    if (!this.isDense) return super.route(x, state, context);
    const N = x.axis(0);
    const even = zeros(x.device, [N, numExperts], "f32");
    const indices = zeros(x.device, [N, 1], "u32");
    return sparseRouting({ indices, weights: ones(x.device, [N, 1], "f32"), probs: even, logits: even });
  }
}

function evoMoeRun(device: Device, vocabSize: number): LabRun {
  const layers = moeLayers(device, () => new EvoMoeRouter(device, { hiddenSize, numExperts }));
  const routers = layers.map(({ router }) => router as EvoMoeRouter);
  return {
    model: labModel(device, vocabSize, { feedForwards: layers }),
    betweenSteps: async (done, steps) => {
      if (!routers[0]?.isDense || done < DENSE_SHARE * steps) return;
      for (const [i, layer] of layers.entries()) await spawnExperts(layer.experts, { key: new RandomKey(i) });
      for (const router of routers) router.isDense = false;
    },
    beforeStep: (step, steps) => {
      const dense = DENSE_SHARE * steps;
      const place = { step: Math.max(0, step - dense), decaySteps: 0.6 * steps };
      for (const router of routers) router.temperature = annealedTemperature({ schedule: "exponential", ...place });
    },
  };
}

export const evoMoe: LabSystem = {
  name: "evomoe",
  claim:
    "One expert first, then copies of it and a gate that goes from dense to sparse, ends below Switch, which routes from the start (Nie et al. 2021, arXiv:2112.14397)",
  variants: [
    plainVariant("Switch", (device) => new SwitchRouter(device, { hiddenSize, numExperts })),
    { name: "EvoMoE", make: evoMoeRun },
  ],
  expects: [["EvoMoE", "Switch"]],
};
