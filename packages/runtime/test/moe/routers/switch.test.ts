import { expectClose, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { NONE, SwitchRouter, type SwitchRouterOptions } from "../../../src/moe/index.ts";
import { RandomKey, tensor } from "../../../src/tensor/index.ts";
import { rowsOf, softmax, times } from "../layer-reference.ts";
import { checkContract, checkRouterLayer, falling, loadsOf, routed, softmaxOf } from "./router-checks.ts";

const device = await testDevice();

const [N, H, E] = [40, 5, 4];
const x = uniformArray(N * H, 1);
const weight = uniformArray(E * H, 2, -2, 2);

function loaded(options: Partial<SwitchRouterOptions>) {
  const router = new SwitchRouter(device, { hiddenSize: H, numExperts: E, ...options });
  router.load(new Map([["weight", Float32Array.from(weight)]]));
  return router;
}

const probsOf = rowsOf(x, H).map((token) => softmax(times(weight, 0, E, token)));
const best = probsOf.map((probs) => falling(probs)[0] as number);
const dropped = ({ assignmentSlot }: { assignmentSlot: number[] }) =>
  assignmentSlot.flatMap((slot, n) => (slot === NONE ? [n] : []));

describe("SwitchRouter", () => {
  test("keeps the contract of routers", async () => {
    const noisy = { jitterNoise: 0.01, randomTokenSelection: true, sampling: true };
    for (const options of [{}, noisy])
      await checkContract(
        ({ topK: _, ...sizes }) => new SwitchRouter(device, { ...sizes, ...options }),
        new RandomKey(5),
      );
  });

  test("the earliest tokens find room, the weight is the probability as it is", async () => {
    const { plan, weights } = await routed(loaded({ evalCapacityFactor: 0.5 }), x); // C = ceil(40 / 4 · 0.5) = 5
    expect(plan.assignmentExpert).toEqual(best);
    expectClose(
      "weights",
      weights,
      best.map((e, n) => probsOf[n]?.[e] ?? 0),
      2e-6,
    );
    const load = new Array<number>(E).fill(0);
    const late = best.flatMap((e, n) => {
      load[e] = (load[e] as number) + 1;
      return (load[e] as number) > 5 ? [n] : [];
    });
    expect(dropped(plan)).toEqual(late);
    expect(late.length).toBeGreaterThan(0);
  });

  test("random token selection keeps the largest numbers of each expert's tokens", async () => {
    const draws = uniformArray(N * E, 9, 0, 1);
    const priorities = tensor(device, Float32Array.from(draws), [N, E]);
    const { plan } = await routed(loaded({ evalCapacityFactor: 0.5 }), x, { priorities } as object);
    const expected = new Set<number>();
    for (let e = 0; e < E; e++) {
      const tokens = best.flatMap((own, n) => (own === e ? [n] : []));
      const luckiest = tokens.sort((a, b) => (draws[b * E + e] as number) - (draws[a * E + e] as number));
      for (const n of luckiest.slice(5)) expected.add(n);
    }
    expect(new Set(dropped(plan))).toEqual(expected);
  });

  test("random token selection drops other tokens in each step, in training alone", async () => {
    const router = loaded({ randomTokenSelection: true, capacityFactor: 0.5, evalCapacityFactor: 0.5 });
    const of = async (seed: number, training = true) =>
      dropped((await routed(router, x, { training, key: new RandomKey(seed) })).plan);
    expect(await of(1)).toEqual(await of(1));
    expect(await of(1)).not.toEqual(await of(2));
    expect(await of(1, false)).toEqual(await of(2, false));
  });

  test("jitter changes what the router sees by at most ε, and experts see x", async () => {
    const router = loaded({ jitterNoise: 0.1 });
    const { logits } = await routed(router, x, { training: true, key: new RandomKey(4) });
    const clean = rowsOf(x, H).map((token) => times(weight, 0, E, token));
    const most = rowsOf(x, H).map((token) =>
      times(weight.map(Math.abs), 0, E, token.map(Math.abs)).map((v) => v * 0.1),
    );
    const shifts = rowsOf(logits, E).map((row, n) => row.map((value, e) => Math.abs(value - (clean[n]?.[e] ?? 0))));
    for (const [n, row] of shifts.entries())
      for (const [e, shift] of row.entries()) expect(shift).toBeLessThanOrEqual((most[n]?.[e] ?? 0) + 1e-5);
    expect(Math.max(...shifts.flat())).toBeGreaterThan(0.01);
  });

  test("sampling follows the probabilities", async () => {
    const router = loaded({ sampling: true, dropTokens: false });
    const counts = new Array<number>(E).fill(0);
    const repeated = new Float32Array(2000 * H).map((_, i) => x[i % H] as number); // one token 2000 times
    const { plan, weights } = await routed(router, repeated, { training: true, key: new RandomKey(3) });
    for (const e of plan.assignmentExpert) counts[e] = (counts[e] as number) + 1;
    for (const [e, p] of (probsOf[0] ?? []).entries()) expect((counts[e] as number) / 2000).toBeCloseTo(p, 1);
    for (const [n, e] of plan.assignmentExpert.entries()) expect(weights[n]).toBeCloseTo(probsOf[0]?.[e] ?? 0, 5);
  });

  test("doubling the capacity never drops more", async () => {
    const drops = await Promise.all(
      [0.25, 0.5, 1, 2, 4].map(async (evalCapacityFactor) => {
        const { plan } = await routed(loaded({ evalCapacityFactor, minCapacity: 0 }), x);
        expect(Math.max(...loadsOf(plan))).toBeLessThanOrEqual(Math.ceil((N / E) * evalCapacityFactor));
        return plan.status[1] as number;
      }),
    );
    expect(drops).toEqual(drops.toSorted((a, b) => b - a));
    expect(drops.at(-1)).toBe(0);
  });

  test("a layer has the gradients of float64, through jitter too", async () => {
    const jitter = uniformArray(15 * H, 6, 0.9, 1.1);
    await checkRouterLayer({
      router: new SwitchRouter(device, { hiddenSize: H, numExperts: E, dropTokens: false }),
      numTokens: 15,
      context: { jitter: tensor(device, Float32Array.from(jitter), [15, H]) } as object,
      reference: {
        scores: (tokens, weights) =>
          tokens.map((token, n) =>
            times(
              weights.get("weight") ?? [],
              0,
              E,
              token.map((value, i) => value * Math.fround(jitter[n * H + i] as number)),
            ),
          ),
        choose: (rows) => rows.map((row) => falling(row).slice(0, 1)),
        weigh: softmaxOf,
      },
    });
  });

  test("weights start within two deviations of √(0.1 / H)", async () => {
    using router = new SwitchRouter(device, { hiddenSize: 40, numExperts: 100 }).initialize(new RandomKey(2));
    const values = await (router.weight.read() as Promise<Float32Array>);
    const deviation = Math.sqrt(0.1 / 40);
    expect(values.every((value) => Math.abs(value) <= 2 * deviation * (1 + 1e-6))).toBe(true);
    const variance = values.reduce((sum, value) => sum + value * value, 0) / values.length;
    expect(variance / deviation ** 2).toBeCloseTo(0.774, 1); // of a normal distribution cut at two deviations
  });

  test("a jitter of 1 or more is an error", () => {
    expect(() => new SwitchRouter(device, { hiddenSize: H, numExperts: E, jitterNoise: 1 })).toThrow(
      "SwitchRouter: jitterNoise is 1, expected 0 ≤ jitterNoise < 1",
    );
  });
});
