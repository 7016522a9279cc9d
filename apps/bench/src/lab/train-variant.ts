import type { Device } from "@moebius/runtime/device";
import { MoeLayer, type Routing, routingStatistics } from "@moebius/runtime/moe";
import { adamw, cosine } from "@moebius/runtime/optim";
import { RandomKey, scope, type Tensor, tensor } from "@moebius/runtime/tensor";
import { Trainer } from "@moebius/runtime/train";
import { type CharacterText, corrupted, evenWindows, type TextBatch, TextBatches } from "./character-text.ts";
import { type LabFigures, type LabRun, type LabVariant, SIZES } from "./lab-model.ts";

export interface TrainVariantOptions {
  text: CharacterText;
  seed: number;
  steps: number;
  hasCorruptedText?: boolean | undefined;
  onStep: (done: number, loss: number) => void;
}

export type SeedFigures = Omit<LabFigures, "spread" | "losses">;

const LEARNING_RATE = 3e-3;
const VALIDATION_WINDOWS = 256;
/** Share of the characters that are swapped in corrupted text. */
const SWAPPED = 0.05;

/** Trains a variant from scratch and measures it: the same data, in the same order, for the same seed. */
export async function trainVariant(
  device: Device,
  variant: LabVariant,
  options: TrainVariantOptions,
): Promise<SeedFigures> {
  const { text, seed, steps, onStep } = options;
  const { batchSize, length } = SIZES;
  const run = variant.make(device, text.vocabSize);
  using model = run.model;
  model.initialize(new RandomKey(seed).split("weights"));
  const begun = performance.now();
  using trainer = new Trainer<TextBatch>({
    model,
    seed,
    data: new TextBatches(text.train, { batchSize, length }, new RandomKey(seed).split("text")),
    optimizer: adamw({
      learningRate: cosine(LEARNING_RATE, { warmupSteps: Math.ceil(steps / 20), minimum: LEARNING_RATE / 20 }),
      betas: [0.9, 0.95],
      weightDecay: 0.1,
      clipNorm: 1,
    }),
    evaluateEvery: Math.max(1, Math.floor(steps / 10)),
    evaluate: async (step) => {
      await run.betweenSteps?.(step + 1, steps);
      return {};
    },
    ledgerEvery: 0, // experts that no token chose, or a phase without a router, are part of what is compared
    loss: ({ ids }, context) => {
      run.beforeStep?.(context.step, steps);
      const tokens = tensor(device, ids, [batchSize, length]);
      if (run.loss) return run.loss(tokens, context);
      const { loss, output } = model.loss(tokens, tokens, { training: true, key: context.key });
      return { loss, routings: output.routings };
    },
  });
  for await (const step of trainer.run(steps)) onStep(step.step + 1, step.loss);
  const seconds = (performance.now() - begun) / 1000;
  const clean = evenWindows(text.validation, VALIDATION_WINDOWS, length);
  const { loss, ...usage } = await evaluate(run, clean);
  const lossOf = async (text = options.text.validation) =>
    (await evaluate(run, evenWindows(text, VALIDATION_WINDOWS, length))).loss;
  const also = (await run.also?.(lossOf, text.topics)) ?? {};
  if (options.hasCorruptedText) {
    const swapped = corrupted(clean, SWAPPED, text.vocabSize, new RandomKey(7));
    also["5 % swapped"] = (await evaluate(run, swapped, clean)).loss;
  }
  return { loss, ...usage, megaflops: activeMegaflops(run, usage.activeExperts), seconds, also };
}

/** @param ids what the model reads; @param labels what it is to predict. Default: the same */
async function evaluate({ model, evaluationKey }: LabRun, ids: Uint32Array, labels = ids) {
  const { length } = SIZES;
  const windows = 64;
  const perBatch = windows * length;
  let [loss, active, drops, imbalance, layers] = [0, 0, 0, 0, 0];
  const batches = ids.length / perBatch;
  for (let b = 0; b < batches; b++) {
    const part = (all: Uint32Array) =>
      tensor(model.device, Uint32Array.from(all.subarray(b * perBatch, (b + 1) * perBatch)), [windows, length]);
    const read = scope(() => {
      const { crossEntropy, output } = model.loss(
        part(ids),
        part(labels),
        evaluationKey ? { key: evaluationKey.fold(b) } : {},
      );
      return { loss: crossEntropy.read(), usage: usageOf(output.routings) };
    });
    loss += ((await read.loss)[0] as number) / batches;
    for (const layer of await read.usage) {
      active += layer.active;
      drops += layer.dropRate;
      imbalance += layer.imbalance;
      layers++;
    }
  }
  const mean = (sum: number) => sum / Math.max(1, layers);
  return { loss, activeExperts: mean(active), dropRate: mean(drops), imbalance: mean(imbalance) };
}

/** Of routings with a plan; the copies are recorded at once. */
function usageOf(routings: readonly Routing[]) {
  const statistics = routingStatistics(routings);
  const rows = routings.map(({ plan }) => plan.status.read());
  return statistics.then((layers) =>
    Promise.all(
      layers.map(async ({ tokensPerExpert: loads, dropRate }, i) => {
        const total = loads.reduce((a, b) => a + b, 0);
        const [kept = 0] = (await rows[i]) ?? [];
        const active = kept / Math.max(1, routings[i]?.plan.numTokens ?? 1);
        return { dropRate, active, imbalance: (Math.max(...loads) * loads.length) / Math.max(1, total) };
      }),
    ),
  );
}

/** Multiply-adds of a token: every matrix but the embedding; of a bank the experts that it takes. */
function activeMegaflops({ model, activeShare = 1 }: LabRun, activeExperts: number): number {
  const shares = new Map<Tensor, number>();
  for (const { feedForward } of model.layers) {
    const isSparse = feedForward instanceof MoeLayer;
    const part = isSparse ? feedForward.experts : feedForward;
    for (const parameter of part.parameters().values()) {
      const isBank = isSparse && parameter.rank === 3; // [E, out, in]
      shares.set(parameter, isBank ? activeExperts / (parameter.shape[0] as number) : isSparse ? 1 : activeShare);
    }
  }
  let flops = 0;
  for (const [name, parameter] of model.parameters())
    if (parameter.rank >= 2 && name !== "model.embed_tokens.weight")
      flops += parameter.size * (shares.get(parameter) ?? 1);
  return flops / 1e6;
}
