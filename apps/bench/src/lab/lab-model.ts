import { DecoderLayer, type FeedForward, MoeDecoder } from "@moebius/llm";
import type { Device } from "@moebius/runtime/device";
import { expertPerTensor } from "@moebius/runtime/io";
import {
  balanceLoss,
  type Experts,
  LOSS_COEFFICIENTS,
  MoeLayer,
  type MomentumOptions,
  type Router,
  type Routing,
  SwigluExperts,
} from "@moebius/runtime/moe";
import { type Module, SelfAttention } from "@moebius/runtime/nn";
import { scale } from "@moebius/runtime/ops";
import type { RandomKey, Tensor } from "@moebius/runtime/tensor";
import type { StepContext, StepLoss } from "@moebius/runtime/train";

/** The sizes that every experiment shares, so that its variants differ in what they claim alone. */
export const SIZES = {
  hiddenSize: 64,
  numHeads: 4,
  numLayers: 3,
  numExperts: 8,
  /** Hidden units of an expert. */
  intermediateSize: 64,
  length: 64,
  batchSize: 16,
} as const;

/** What a variant changes of the character model. */
export interface LabParts {
  /** One a layer. */
  feedForwards: FeedForward[];
  /** Parts that layers share, by name. */
  shared?: Record<string, Module>;
  auxLoss?: (routings: readonly Routing[]) => Tensor<"f32">;
  momentum?: MomentumOptions;
}

/** A decoder of characters with the given blocks. */
export function labModel(
  device: Device,
  vocabSize: number,
  { feedForwards, shared, auxLoss, momentum }: LabParts,
): MoeDecoder {
  const { hiddenSize, numHeads, length } = SIZES;
  return new MoeDecoder(device, {
    vocabSize,
    hiddenSize,
    normEpsilon: 1e-6,
    tieWordEmbeddings: false,
    rotary: { maxPositions: length, dim: hiddenSize / numHeads },
    cache: { numKeyValueHeads: numHeads, headDim: hiddenSize / numHeads },
    layers: feedForwards.map(
      (feedForward) =>
        new DecoderLayer(device, {
          hiddenSize,
          normEpsilon: 1e-6,
          attention: new SelfAttention(device, { hiddenSize, numHeads }),
          feedForward,
          momentum,
        }),
    ),
    ...(shared ? { shared } : {}),
    ...(auxLoss ? { auxLoss } : {}),
    layout: expertPerTensor(),
  });
}

/** One MoE layer a layer of the model. */
export function moeLayers<State>(
  device: Device,
  router: (layer: number) => Router<State>,
  {
    numExperts = SIZES.numExperts,
    intermediateSize = SIZES.intermediateSize,
  }: { numExperts?: number; intermediateSize?: number } = {},
): MoeLayer<State>[] {
  return layersWith(
    device,
    router,
    () => new SwigluExperts(device, { hiddenSize: SIZES.hiddenSize, numExperts, intermediateSize }),
  );
}

/** The same with experts of another kind. */
export function layersWith<State>(
  device: Device,
  router: (layer: number) => Router<State>,
  experts: (layer: number) => Experts,
): MoeLayer<State>[] {
  return Array.from(
    { length: SIZES.numLayers },
    (_, layer) => new MoeLayer(device, { router: router(layer), experts: experts(layer) }),
  );
}

/** The balance loss of most of these papers, with its usual coefficient. */
export const balanced: NonNullable<LabParts["auxLoss"]> = (routings) =>
  scale(balanceLoss(routings), LOSS_COEFFICIENTS.balance);

/** A variant that is nothing but MoE layers around a router, with the balance loss. */
export function plainVariant(
  name: string,
  router: (device: Device) => Router<never> | Router,
  sizes: Parameters<typeof moeLayers>[2] = {},
): LabVariant {
  return {
    name,
    make: (device, vocabSize) => {
      const feedForwards = moeLayers(device, () => router(device) as Router, sizes);
      return { model: labModel(device, vocabSize, { feedForwards, auxLoss: balanced }) };
    },
  };
}

/** A variant that is ready to train. */
export interface LabRun {
  model: MoeDecoder;
  /** Called before each step, for schedules. */
  beforeStep?: (step: number, steps: number) => void;
  /** Called after each tenth of the run: changes of phase. */
  betweenSteps?: (done: number, steps: number) => Promise<void>;
  /** In place of the model's loss. */
  loss?: (ids: Tensor<"u32">, context: StepContext) => StepLoss;
  /** Share of the blocks' weights that a token uses, where they are no MoE layers. Default 1 */
  activeShare?: number;
  /** Randomness of evaluation, for models that draw there, too. */
  evaluationKey?: RandomKey;
  /** Further figures, by name, from evaluations under changed settings. @param evaluate the loss of a text. Default: the validation text */
  also?: (
    evaluate: (text?: Uint32Array) => Promise<number>,
    topics: readonly Uint32Array[],
  ) => Promise<Record<string, number>>;
}

export interface LabVariant {
  name: string;
  make: (device: Device, vocabSize: number) => LabRun;
}

/** One paper's experiment. */
export interface LabSystem {
  name: string;
  /** What the paper says, and where. */
  claim: string;
  /** The first is the baseline. */
  variants: readonly LabVariant[];
  /** Whether half of the text is TypeScript, this repository's own. */
  hasTopics?: boolean;
  /** Whether validation on text with swapped characters is of interest. */
  hasCorruptedText?: boolean;
  /** What the claim says about the losses: the first variant's below the second's. */
  expects: readonly (readonly [better: string, worse: string])[];
  /** What the other figures say, a sentence each. */
  observe?: (figures: (variant: string) => LabFigures) => string[];
}

/** Means over the seeds, of one variant. */
export interface LabFigures {
  /** Validation loss, nats a character, with its standard deviation over seeds. */
  loss: number;
  spread: number;
  /** Of each seed. */
  losses: number[];
  /** Experts with a product that a token takes, mean over layers. */
  activeExperts: number;
  dropRate: number;
  /** Largest load over the mean one, mean over layers. */
  imbalance: number;
  /** Million multiply-adds a token, attention's scores aside. */
  megaflops: number;
  seconds: number;
  also: Record<string, number>;
}
