import type { Device } from "@moebius/runtime/device";
import {
  BalancedAssignmentRouter,
  CapacityTopKRouter,
  CometRouter,
  CosineTopKRouter,
  DenseToSparseRouter,
  DSelectKRouter,
  ExpertChoiceRouter,
  GatingResidualRouter,
  GroupLimitedRouter,
  GruCell,
  GShardRouter,
  HashRouter,
  MoeLayer,
  NoisyTopKRouter,
  NullExpertsRouter,
  PreGatedRouter,
  RandomFixedRouter,
  RecurrentRouter,
  type RouteContext,
  type Router,
  randomHashTable,
  SigmoidTopKRouter,
  StochasticRouter,
  SwigluExperts,
  SwitchRouter,
  TemperatureRouter,
  TopKRouter,
  TopPRouter,
  VMoeRouter,
} from "@moebius/runtime/moe";
import { RandomKey, scope, tensor } from "@moebius/runtime/tensor";
import type { BenchCase, BenchRow } from "./bench-case.ts";
import { median } from "./measure.ts";
import { randomTensor } from "./random.ts";

const TOKENS = 1024;
const VOCAB_SIZE = 1000;
const SIZES = { hiddenSize: 256, numExperts: 16 };
const INTERMEDIATE_SIZE = 512;
const topK = 2;

const PREFIX = "routers: ";
/** A layer may take ten times as long as its plain top-k router, and seven times as long as the median one. */
const PLAIN_GOAL = 10;
const MEDIAN_GOAL = 1 / 0.15;

const TOP_K = "top-k";
/** Later a top-1 router, and nothing of its own to measure. */
const DENSE_TO_SPARSE = "dense-to-sparse, in training";
const ROUTERS: Readonly<Record<string, (device: Device, owned: Disposable[]) => Router<unknown>>> = {
  [TOP_K]: (device) => new TopKRouter(device, { ...SIZES, topK }),
  "noisy top-k": (device) => new NoisyTopKRouter(device, { ...SIZES, topK }),
  "GShard top-2": (device) => new GShardRouter(device, SIZES),
  "Switch top-1": (device) => new SwitchRouter(device, SIZES),
  "top-k with capacity": (device) => new CapacityTopKRouter(device, { ...SIZES, topK }),
  "V-MoE, batch priority": (device) => new VMoeRouter(device, { ...SIZES, topK, batchPriority: true }),
  "expert choice": (device) => new ExpertChoiceRouter(device, SIZES),
  "hash top-1": (device) => {
    const table = randomHashTable(VOCAB_SIZE, SIZES.numExperts, new RandomKey(0));
    return new HashRouter(device, { ...SIZES, table });
  },
  "balanced assignment top-1": (device) => new BalancedAssignmentRouter(device, SIZES),
  "sigmoid top-k": (device) => new SigmoidTopKRouter(device, { ...SIZES, topK }),
  "top-p": (device) => new TopPRouter(device, SIZES),
  "null experts": (device) => new NullExpertsRouter(device, { ...SIZES, numNullExperts: 16, numChoices: 4 }),
  [DENSE_TO_SPARSE]: (device) => new DenseToSparseRouter(device, SIZES),
  "random fixed": (device) => new RandomFixedRouter(device, { ...SIZES, topK }),
  "pre-gated": (device) => new PreGatedRouter(device, { ...SIZES, topK, gate: true }),
  "stochastic top-1": (device) => new StochasticRouter(device, SIZES),
  "group-limited": (device) => new GroupLimitedRouter(device, { ...SIZES, topK, numGroups: 4, topKGroups: 2 }),
  COMET: (device) => new CometRouter(device, { ...SIZES, numTrees: topK }),
  "DSelect-k": (device) => new DSelectKRouter(device, { ...SIZES, numSelectors: topK }),
  "gating residual": (device) => new GatingResidualRouter(device, { ...SIZES, topK }),
  "recurrent, GRU of 64": (device, owned) => {
    const cell = new GruCell(device, 64).initialize(new RandomKey(0));
    owned.push(cell);
    return new RecurrentRouter(device, { ...SIZES, topK, cell });
  },
  temperature: (device) => new TemperatureRouter(device, { ...SIZES, topK }),
  "cosine top-k": (device) => new CosineTopKRouter(device, { ...SIZES, topK }),
};

/** Routing and plan as a share of the router's own layer, which runs them too. */
export const routerCases: readonly BenchCase[] = Object.entries(ROUTERS).map(([name, make]) => ({
  name: PREFIX + name,
  prepare(device) {
    const shared: Disposable[] = [];
    const router = make(device, shared);
    const experts = new SwigluExperts(device, { ...SIZES, intermediateSize: INTERMEDIATE_SIZE });
    const layer = new MoeLayer(device, { router, experts }).initialize(new RandomKey(0));
    const x = randomTensor(device, "x", [TOKENS, SIZES.hiddenSize]);
    const tokenIds = tensor(
      device,
      Uint32Array.from({ length: TOKENS }, (_, i) => (i * 37) % VOCAB_SIZE),
    );
    const context: RouteContext = { tokenIds, key: new RandomKey(1), training: name === DENSE_TO_SPARSE };
    return {
      run: () => scope(() => void router.route(x, undefined, context)),
      work: { tokens: TOKENS },
      references: [
        {
          name: "its MoE layer",
          run: () => scope(() => void layer.forward(x, context)),
          work: { tokens: TOKENS },
          goal: name === TOP_K ? PLAIN_GOAL : undefined,
        },
      ],
      owned: [layer, x, tokenIds, ...shared],
    };
  },
}));

/** The router of median cost among the measured ones; none when there are few. */
export function medianRouter(rows: readonly BenchRow[]): BenchRow[] {
  const routers = rows.filter(({ case: name, ratio }) => name.startsWith(PREFIX) && ratio !== undefined);
  const middle = median(routers.map(({ ratio }) => ratio as number));
  const found = routers.length < 3 ? undefined : routers.find(({ ratio }) => ratio === middle);
  return found ? [{ ...found, case: `${PREFIX}the median one`, goal: Number(MEDIAN_GOAL.toPrecision(4)) }] : [];
}
