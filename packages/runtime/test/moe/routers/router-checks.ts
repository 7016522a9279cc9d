import { checkOp, testDevice, uniformArray } from "@moebius/testing";
import { expect } from "vitest";
import { MlpExperts, MoeLayer, NONE, type RouteContext, type Router, type Routing } from "../../../src/moe/index.ts";
import { type RandomKey, scope, tensor } from "../../../src/tensor/index.ts";
import { feedForward, rowsOf, softmax } from "../layer-reference.ts";
import { moduleAsOp } from "../module-as-op.ts";
import { type HostPlan, readPlan } from "../plan-reference.ts";

const device = await testDevice();

type Rows = readonly number[][];
/** Parameters of the router by name. */
export type Weights = ReadonlyMap<string, Float64Array>;

/** A router in float64. */
export interface RouterReference {
  /** What experts are chosen by, [N][E] */
  scores(tokens: Rows, weights: Weights): number[][];
  /** The experts that run for each token. */
  choose(scores: Rows): number[][];
  /** Their weights. */
  weigh(scores: readonly number[], experts: readonly number[]): number[];
}

export const softmaxOf = (scores: readonly number[], experts: readonly number[]) => {
  const probs = softmax(scores);
  return experts.map((e) => probs[e] as number);
};

/** Indices by falling value; ties to the lower index. */
export const falling = (values: readonly number[]): number[] =>
  [...values.keys()].sort((a, b) => (values[b] as number) - (values[a] as number) || a - b);

export interface LayerCheck {
  router: Router;
  numTokens: number;
  context?: RouteContext;
  reference: RouterReference;
  seed?: number;
  /** Of the router's parameters. Default ±2 */
  spread?: number;
}

/**
 * Checks a layer around the router: its output, and the gradients of the input and of all weights, against float64 and its finite
 * differences. Choices stay as they are at the given point, since no gradient flows through them.
 */
export async function checkRouterLayer({
  router,
  numTokens,
  context = {},
  reference,
  seed = 1,
  spread = 2,
}: LayerCheck) {
  const { hiddenSize, numExperts } = router;
  const intermediateSize = 3;
  using layer = new MoeLayer(device, {
    router,
    experts: new MlpExperts(device, { hiddenSize, intermediateSize, numExperts }),
  });
  const names = [...router.parameters().keys()];
  const parameters = [...layer.parameters()];
  let chosen: number[][] | undefined;
  await checkOp(device, {
    op: moduleAsOp(layer, (x) => layer.forward(x, context).y),
    reference: (x, ...values) => {
      const tokens = rowsOf(x, hiddenSize);
      const scores = reference.scores(tokens, new Map(names.map((name, i) => [name, values[i] as Float64Array])));
      chosen ??= reference.choose(scores);
      const [up, down] = values.slice(-2) as [Float64Array, Float64Array];
      return tokens.flatMap((token, n) => {
        const experts = chosen?.[n] ?? [];
        const weights = reference.weigh(scores[n] as number[], experts);
        return experts
          .map((expert, i) =>
            feedForward(token, { up, down, expert, size: intermediateSize }).map((v) => v * (weights[i] as number)),
          )
          .reduce((sum, part) => sum.map((v, i) => v + (part[i] as number)), new Array<number>(hiddenSize).fill(0));
      });
    },
    inputs: [
      { shape: [numTokens, hiddenSize] },
      ...parameters.map(([name, { shape }]) => ({
        shape,
        ...(name.startsWith("gate.") ? { low: -spread, high: spread } : {}),
      })),
    ],
    seed,
    step: 1e-5,
    tolerance: 4e-6,
  });
  const kept = chosen as number[][] | undefined;
  return { chosen: kept ?? [] };
}

export interface Routed {
  plan: HostPlan;
  weights: Float32Array;
  probs: Float32Array;
  logits: Float32Array;
}

/** Routes and reads everything; the route itself must read nothing back. */
export async function routed<State>(
  router: Router<State>,
  x: ArrayLike<number>,
  context?: RouteContext,
  inspect: (routing: Routing) => void = () => {},
): Promise<Routed> {
  const { plan, weights, probs, logits } = scope(() => {
    const tokens = tensor(device, Float32Array.from(x), [x.length / router.hiddenSize, router.hiddenSize]);
    const { reads } = device.counters;
    const routing = router.route(tokens, undefined, context);
    expect(device.counters.reads).toBe(reads);
    inspect(routing);
    const { weights, probs, logits } = routing;
    return { plan: readPlan(routing.plan), weights: weights.read(), probs: probs.read(), logits: logits.read() };
  });
  return { plan: await plan, weights: await weights, probs: await probs, logits: await logits };
}

export interface Sizes {
  hiddenSize: number;
  numExperts: number;
  topK: number;
}

/** What every router keeps: finite weights in range, sound shapes for odd sizes, the same routes for the same key. */
export async function checkContract<State>(
  make: (sizes: Sizes) => Router<State>,
  key: RandomKey,
  contextOf: (numTokens: number) => RouteContext = () => ({}),
): Promise<void> {
  const cases = [
    { numTokens: 0, numExperts: 4, topK: 2 },
    { numTokens: 1, numExperts: 4, topK: 2 },
    { numTokens: 24, numExperts: 4, topK: 4 },
    { numTokens: 24, numExperts: 12, topK: 2 },
    { numTokens: 24, numExperts: 2, topK: 1 },
  ];
  for (const training of [false, true])
    for (const { numTokens, numExperts, topK } of cases) {
      using router = make({ hiddenSize: 5, numExperts, topK }).initialize(key);
      const x = uniformArray(numTokens * 5, 3, -2, 2);
      const same = x.map((_, i) => x[i % 5] as number); // whoever looks at tokens alone sends all to the same experts
      const context = { ...contextOf(numTokens), training, key };
      const [first, again] = [await routed(router, x, context), await routed(router, x, context)];
      expect(again).toEqual(first);
      const { plan, weights, probs } = first;
      expect(plan.status[3]).toBe(0);
      expect(plan.status[2]).toBe(0);
      expect(weights.every((w) => w >= 0 && w <= 1 + 1e-6)).toBe(true);
      expect(weights.length).toBe(plan.assignmentExpert.length);
      for (const row of rowsOf(probs, numExperts)) expect(row.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 5);
      expect(plan.tokenOffsets.length).toBe(numTokens + 1);
      expectSoundPlan(plan);
      expectSoundPlan((await routed(router, same, context)).plan);
      using layer = new MoeLayer(device, {
        router: make({ hiddenSize: 5, numExperts, topK }).initialize(key),
        experts: new MlpExperts(device, { hiddenSize: 5, intermediateSize: 3, numExperts }).initialize(key),
      });
      const { y } = scope(() => {
        const tokens = tensor(device, Float32Array.from(x), [numTokens, 5]);
        return { y: layer.forward(tokens, context).y.read() };
      });
      const values = await y;
      expect(values.length).toBe(numTokens * 5);
      expect(values.every(Number.isFinite)).toBe(true);
    }
}

/** Every row belongs to one assignment, lies among its expert's, and no token has two rows of one expert. */
function expectSoundPlan(plan: HostPlan): void {
  const { groupOffsets, assignmentSlot, assignmentExpert, assignmentToken, slotAssignment, slotToken, status } = plan;
  expect(groupOffsets[0]).toBe(0);
  expect(groupOffsets.at(-1)).toBe(status[0]);
  expect([...groupOffsets].sort((a, b) => a - b)).toEqual(groupOffsets);
  const pairs = new Set<string>();
  let [rows, dropped] = [0, 0];
  for (const [a, slot] of assignmentSlot.entries()) {
    const expert = assignmentExpert[a] as number;
    if (slot === NONE) {
      if (expert < groupOffsets.length - 1) dropped++;
      continue;
    }
    rows++;
    expect(slotAssignment[slot]).toBe(a);
    expect(slotToken[slot]).toBe(assignmentToken[a]);
    expect(slot).toBeGreaterThanOrEqual(groupOffsets[expert] as number);
    expect(slot).toBeLessThan(groupOffsets[expert + 1] as number);
    pairs.add(`${assignmentToken[a]} ${expert}`);
  }
  expect([rows, dropped]).toEqual(status.slice(0, 2));
  expect(pairs.size).toBe(rows);
}

/** For methods that look at each token alone: permuting tokens permutes their experts and weights. */
export async function checkTokensAlone<State>(make: (sizes: Sizes) => Router<State>, key: RandomKey): Promise<void> {
  const [N, H] = [17, 5];
  using router = make({ hiddenSize: H, numExperts: 6, topK: 2 }).initialize(key);
  const x = uniformArray(N * H, 3, -2, 2);
  const order = Array.from({ length: N }, (_, n) => (7 * n + 3) % N);
  const chosen = async (tokens: ArrayLike<number>) => {
    const { plan, weights } = await routed(router, tokens);
    return Array.from({ length: N }, (_, n) => {
      const own = plan.assignmentToken.flatMap((token, a) =>
        token === n && plan.assignmentSlot[a] !== NONE ? [a] : [],
      );
      return new Map(own.map((a) => [plan.assignmentExpert[a], weights[a]]));
    });
  };
  const straight = await chosen(x);
  const permuted = await chosen(order.flatMap((n) => [...x.subarray(n * H, (n + 1) * H)]));
  expect(permuted).toEqual(order.map((n) => straight[n]));
}

/** Rows of each expert and routing group. */
export function loadsOf(
  { groupOffsets, slotToken }: HostPlan,
  routingGroups = 1,
  numTokens = Number.POSITIVE_INFINITY,
): number[] {
  return groupOffsets.slice(0, -1).flatMap((begin, e) => {
    const tokens = slotToken.slice(begin, groupOffsets[e + 1]);
    return Array.from(
      { length: routingGroups },
      (_, g) => tokens.filter((token) => Math.floor((token * routingGroups) / numTokens) === g).length,
    );
  });
}
