import { testDevice } from "@moebius/testing";
import { describe, test } from "vitest";
import {
  CometRouter,
  CosineTopKRouter,
  DenseToSparseRouter,
  DSelectKRouter,
  GatingResidualRouter,
  GroupLimitedRouter,
  GruCell,
  NoisyTopKRouter,
  NullExpertsRouter,
  PreGatedRouter,
  RandomFixedRouter,
  RecurrentRouter,
  type Router,
  SigmoidTopKRouter,
  TemperatureRouter,
  TopKRouter,
  TopPRouter,
} from "../../../src/moe/index.ts";
import { RandomKey } from "../../../src/tensor/index.ts";
import { checkTokensAlone, type Sizes } from "./router-checks.ts";

const device = await testDevice();
const key = new RandomKey(11);
const cell = new GruCell(device, 3).initialize(key);

const ROUTERS: Readonly<Record<string, (sizes: Sizes) => Router<unknown>>> = {
  "top-k": (sizes) => new TopKRouter(device, sizes),
  "noisy top-k": (sizes) => new NoisyTopKRouter(device, sizes),
  "sigmoid top-k": (sizes) => new SigmoidTopKRouter(device, sizes),
  "cosine top-k": (sizes) => new CosineTopKRouter(device, sizes),
  "top-p": (sizes) => new TopPRouter(device, sizes),
  "null experts": (sizes) => new NullExpertsRouter(device, { ...sizes, numNullExperts: 2, numChoices: 3 }),
  "dense-to-sparse": (sizes) => new DenseToSparseRouter(device, sizes),
  "random fixed": (sizes) => new RandomFixedRouter(device, sizes),
  "pre-gated": (sizes) => new PreGatedRouter(device, { ...sizes, gate: true }),
  "group-limited": (sizes) => new GroupLimitedRouter(device, { ...sizes, numGroups: 3, topKGroups: 2 }),
  COMET: (sizes) => new CometRouter(device, { ...sizes, numTrees: 2, stepWidth: 0.1 }),
  "DSelect-k": (sizes) => new DSelectKRouter(device, { ...sizes, numSelectors: 2, stepWidth: 0.1 }),
  "gating residual": (sizes) => new GatingResidualRouter(device, { ...sizes, zeroComputation: { zero: 1 } }),
  recurrent: (sizes) => new RecurrentRouter(device, { ...sizes, cell }),
  temperature: (sizes) => new TemperatureRouter(device, sizes),
};

describe("permuting tokens permutes their experts and weights", () => {
  test.each(Object.entries(ROUTERS))("%s", async (_, make) => {
    await checkTokensAlone(make, key);
  });
});
