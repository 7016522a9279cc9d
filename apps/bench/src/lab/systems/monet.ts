import type { FeedForwardContext } from "@moebius/llm";
import type { Device } from "@moebius/runtime/device";
import {
  ambiguityLoss,
  HorizontalExperts,
  MONET_LOSS_COEF,
  type MonetExperts,
  MonetRouter,
  type ProductRouting,
  uniformityLoss,
  VerticalExperts,
} from "@moebius/runtime/moe";
import { Module, SwigluFeedForward } from "@moebius/runtime/nn";
import { add, reshape, scale } from "@moebius/runtime/ops";
import { RandomKey, scope, type Tensor, tensor } from "@moebius/runtime/tensor";
import { type LabRun, type LabSystem, type LabVariant, labModel, SIZES } from "../lab-model.ts";

type F32 = Tensor<"f32">;

const { hiddenSize, numLayers } = SIZES;
const MONET = { hiddenSize, keysPerAxis: 16, numHeads: 2, topK: 2, expertSize: 8 };

/** A router and M² experts in the place of a feed-forward block. */
class MonetBlock extends Module {
  readonly router: MonetRouter;
  readonly experts: MonetExperts;
  /** Of the last call in training. */
  routing: ProductRouting | undefined;

  constructor(device: Device, Experts: typeof VerticalExperts | typeof HorizontalExperts, keysPerAxis: number) {
    super(device);
    this.router = this.child("router", new MonetRouter(device, { ...MONET, keysPerAxis }));
    this.experts = this.child("experts", new Experts(device, { ...MONET, keysPerAxis }));
  }

  forward(x: F32, { training = false }: FeedForwardContext = {}): F32 {
    const tokens = reshape(x, [-1, hiddenSize]);
    const routing = this.router.route(tokens, { training });
    this.routing = training ? routing : undefined;
    return reshape(this.experts.forward(tokens, routing), x.shape);
  }
}

function monetRun(device: Device, vocabSize: number, Experts: ConstructorParameters<typeof MonetBlock>[1]): LabRun {
  const blocks = Array.from({ length: numLayers }, () => new MonetBlock(device, Experts, MONET.keysPerAxis));
  const model = labModel(device, vocabSize, { feedForwards: blocks });
  return {
    model,
    loss: (ids, { key }) => {
      const { crossEntropy } = model.loss(ids, ids, { training: true, key });
      const routings = blocks.flatMap(({ routing }) => routing ?? []);
      for (const [layer, { router }] of blocks.entries()) router.updateStatistics(routings[layer] as ProductRouting);
      const aux = scale(add(uniformityLoss(routings), ambiguityLoss(routings)), MONET_LOSS_COEF);
      return { loss: add(crossEntropy, aux) };
    },
    also: async () => costs(device, Experts),
  };
}

/** Milliseconds of a block over 1024 tokens, by the number of experts. */
async function costs(device: Device, Experts: ConstructorParameters<typeof MonetBlock>[1]) {
  const found: Record<string, number> = {};
  for (const keysPerAxis of [16, 64, 256, 512]) {
    using block = new MonetBlock(device, Experts, keysPerAxis);
    block.initialize(new RandomKey(1));
    using x = tensor(device, new RandomKey(2).normal(1024 * hiddenSize), [1024, hiddenSize]);
    const times: number[] = [];
    for (let round = 0; round < 4; round++) {
      const begun = performance.now();
      await scope(() => ({ y: block.forward(x).read() })).y;
      times.push(performance.now() - begun);
    }
    found[`ms, ${keysPerAxis ** 2} experts`] = Math.min(...times.slice(1));
  }
  return found;
}

const monetVariant = (name: string, Experts: ConstructorParameters<typeof MonetBlock>[1]): LabVariant => ({
  name,
  make: (device, vocabSize) => monetRun(device, vocabSize, Experts),
});

export const monet: LabSystem = {
  name: "monet",
  claim:
    "A product of two axes of keys gives a layer up to 262,144 experts at the cost of its square root, with the loss of a dense model of equal parameters; vertical decomposition beats horizontal (Park et al. 2024, arXiv:2412.04139)",
  variants: [
    {
      name: "dense twin",
      make: (device, vocabSize) => {
        using twin = new MonetBlock(device, VerticalExperts, MONET.keysPerAxis);
        const intermediateSize = Math.round(twin.numParameters / (3 * hiddenSize));
        const dense = () => new SwigluFeedForward(device, { hiddenSize, intermediateSize });
        return { model: labModel(device, vocabSize, { feedForwards: Array.from({ length: numLayers }, dense) }) };
      },
    },
    monetVariant("Monet, vertical", VerticalExperts),
    monetVariant("Monet, horizontal", HorizontalExperts),
  ],
  expects: [
    ["Monet, vertical", "dense twin"],
    ["Monet, vertical", "Monet, horizontal"],
  ],
};
