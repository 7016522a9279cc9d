import type { FeedForwardContext } from "@moebius/llm";
import type { Device } from "@moebius/runtime/device";
import {
  ambiguityLoss,
  domainExperts,
  ExpertMask,
  ExpertUsage,
  HorizontalExperts,
  LOSS_COEFFICIENTS,
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
import { signed } from "../summary.ts";

type F32 = Tensor<"f32">;

const { hiddenSize, numLayers } = SIZES;
const MONET = { hiddenSize, keysPerAxis: 16, numHeads: 2, topK: 2, expertSize: 8 };

/** A router and M² experts in the place of a feed-forward block. */
class MonetBlock extends Module {
  readonly router: MonetRouter;
  readonly experts: MonetExperts;
  /** Of the last call. */
  routing: ProductRouting | undefined;
  /** Experts that are switched off. */
  mask: ExpertMask | undefined;

  constructor(device: Device, Experts: typeof VerticalExperts | typeof HorizontalExperts, keysPerAxis: number) {
    super(device);
    this.router = this.child("router", new MonetRouter(device, { ...MONET, keysPerAxis }));
    this.experts = this.child("experts", new Experts(device, { ...MONET, keysPerAxis }));
  }

  forward(x: F32, { training = false }: FeedForwardContext = {}): F32 {
    const tokens = reshape(x, [-1, hiddenSize]);
    const routing = this.router.route(tokens, { training });
    this.routing = routing;
    return reshape(this.experts.forward(tokens, routing, this.mask), x.shape);
  }
}

type Kind = ConstructorParameters<typeof MonetBlock>[1];

function monetRun(device: Device, vocabSize: number, Experts: Kind): LabRun & { blocks: MonetBlock[] } {
  const blocks = Array.from({ length: numLayers }, () => new MonetBlock(device, Experts, MONET.keysPerAxis));
  const model = labModel(device, vocabSize, { feedForwards: blocks });
  return {
    model,
    blocks,
    loss: (ids, { key }) => {
      const { crossEntropy } = model.loss(ids, ids, { training: true, key });
      const routings = blocks.flatMap(({ routing }) => routing ?? []);
      for (const [layer, { router }] of blocks.entries()) router.updateStatistics(routings[layer] as ProductRouting);
      const aux = scale(add(uniformityLoss(routings), ambiguityLoss(routings)), LOSS_COEFFICIENTS.monet);
      return { loss: add(crossEntropy, aux) };
    },
  };
}

/** Milliseconds of a block over 1024 tokens, by the number of experts. */
async function costs(device: Device, Experts: Kind) {
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

const monetVariant = (name: string, Experts: Kind): LabVariant => ({
  name,
  make: (device, vocabSize) => ({
    ...monetRun(device, vocabSize, Experts),
    also: async () => costs(device, Experts),
  }),
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
  observe: (figures) =>
    ["Monet, vertical", "Monet, horizontal"].map((name) => {
      const { also } = figures(name);
      const growth = (also["ms, 262144 experts"] as number) / (also["ms, 256 experts"] as number);
      return `${name}: 1024 times as many experts take ${growth.toFixed(0)} times as long; the square root is 32`;
    }),
};

const TOPICS = ["prose", "code"];

/** Text of each topic is read, the experts that serve one topic alone are found, layer by layer, and switched off. */
function topicsRun(device: Device, vocabSize: number): LabRun {
  const run = monetRun(device, vocabSize, VerticalExperts);
  const { blocks, model } = run;
  const usageOf = async (text: Uint32Array) => {
    const usages = blocks.map(() => new ExpertUsage(device, MONET.keysPerAxis));
    const windows = Math.floor(Math.min(text.length, 64 * SIZES.length) / SIZES.length);
    scope(() => {
      const ids = Uint32Array.from(text.subarray(0, windows * SIZES.length));
      model.forward(tensor(device, ids, [windows, SIZES.length]));
      for (const [layer, { routing }] of blocks.entries()) usages[layer]?.add(routing as ProductRouting);
    });
    const read = await Promise.all(usages.map((usage) => usage.read()));
    for (const usage of usages) usage[Symbol.dispose]();
    return read;
  };
  return {
    ...run,
    also: async (evaluate, topics) => {
      const usages = await Promise.all(topics.map(usageOf));
      const owned = blocks.map((_, layer) =>
        domainExperts(new Map(TOPICS.map((topic, t) => [topic, usages[t]?.[layer] as Float32Array]))),
      );
      const found: Record<string, number> = {};
      for (const off of [undefined, ...TOPICS]) {
        for (const [layer, block] of blocks.entries())
          block.mask = off
            ? new ExpertMask(device, MONET.keysPerAxis, { pairs: owned[layer]?.get(off) ?? [] })
            : undefined;
        for (const [t, topic] of TOPICS.entries())
          found[`${topic}${off ? `, ${off} experts off` : ""}`] = await evaluate(topics[t]);
        for (const block of blocks) block.mask?.[Symbol.dispose]();
      }
      for (const block of blocks) block.mask = undefined;
      return found;
    },
  };
}

export const monetTopics: LabSystem = {
  name: "monet-topics",
  claim:
    "Experts of a product specialise: switching off those that serve one topic (at least twice the weight there) costs loss on that topic and little on others (Park et al. 2024, arXiv:2412.04139). Half Shakespeare, half this repository's TypeScript",
  hasTopics: true,
  variants: [{ name: "Monet, vertical", make: topicsRun }],
  expects: [],
  observe: (figures) =>
    TOPICS.map((topic) => {
      const { also } = figures("Monet, vertical");
      const [own, other] = [topic, ...TOPICS.filter((one) => one !== topic)].map(
        (on) => (also[`${on}, ${topic} experts off`] as number) - (also[on] as number),
      ) as [number, number];
      const isShown = own > 2 * Math.abs(other);
      return `experts of ${topic} off: ${signed(own)} on ${topic}, ${signed(other)} on the other topic: ${isShown ? "shown" : "not shown"}`;
    }),
};
