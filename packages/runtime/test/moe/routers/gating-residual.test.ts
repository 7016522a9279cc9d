import { expectClose, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import {
  GatingResidualRouter,
  type GatingResidualRouterOptions,
  heterogeneousBalanceLoss,
  MoeLayer,
  ZeroComputationExperts,
} from "../../../src/moe/index.ts";
import { Tape } from "../../../src/ops/index.ts";
import { RandomKey, scope, tensor } from "../../../src/tensor/index.ts";
import { rowsOf } from "../layer-reference.ts";
import { checkContract, routed } from "./router-checks.ts";

const device = await testDevice();
const key = new RandomKey(3);
const [N, H, E] = [11, 5, 7]; // three true experts, two constant, a copy, a zero
const SPECIAL = { constant: 2, copy: 1, zero: 1 };
const sizes = { hiddenSize: H, numExperts: E, topK: 2 };
const x = () => tensor(device, Float32Array.from(uniformArray(N * H, 7)), [N, H]);

const router = (options: Partial<GatingResidualRouterOptions> = {}) =>
  new GatingResidualRouter(device, { ...sizes, zeroComputation: SPECIAL, ...options }).initialize(key);

/** Scores that make every token choose these experts, the first a little more. */
function choosing(first: number, second: number, options: Partial<GatingResidualRouterOptions> = {}) {
  const made = router({ hasHiddenLayer: false, ...options });
  made.gate[0]?.write(new Float32Array(E * H));
  const scores = Float32Array.from({ length: N * E }, (_, i) => (i % E === first ? 4 : i % E === second ? 3 : 0));
  made.gateMap.write(Float32Array.from({ length: E * E }, (_, i) => Number(i % (E + 1) === 0)));
  return { router: made, state: { scores: tensor(device, scores, [N, E]) } };
}

describe("GatingResidualRouter", () => {
  test("keeps the contract of routers with ordinary experts", async () => {
    await checkContract((options) => new GatingResidualRouter(device, { ...options, gating: "mixtral" }), key);
  });

  test("adds a map of the scores before to its own, and passes the sum on", async () => {
    using made = router();
    const previous = tensor(device, Float32Array.from(uniformArray(N * E, 2)), [N, E]);
    const { own, sum, before, map } = scope(() => ({
      own: made.route(x()).logits.read(),
      sum: made.route(x(), { scores: previous }).state?.scores.read(),
      before: previous.read(),
      map: made.gateMap.read(),
    }));
    const [values, matrix] = [rowsOf(await before, E), rowsOf(await map, E)];
    const expected = Array.from(await own, (score, i) => {
      const [row, column] = [values[Math.floor(i / E)] ?? [], matrix[i % E] ?? []];
      return score + row.reduce((total, v, j) => total + v * (column[j] as number), 0);
    });
    expectClose("scores", (await sum) ?? [], expected, 1e-6);
  });

  test("a zero expert leaves all the weight to the other in softmax gating, its share in mixtral gating", async () => {
    for (const [gating, weight] of [
      ["softmax", 1],
      ["mixtral", 1 / (1 + Math.exp(1))],
    ] as const) {
      const { router: made, state } = choosing(6, 0, { gating });
      const { weights, status } = scope(() => {
        const { weights, plan } = made.route(x(), state);
        return { weights: weights.read(), status: plan.status.read() };
      });
      for (const [zero, other] of rowsOf(await weights, 2)) {
        expect(other).toBeCloseTo(weight, 5);
        expect(zero).toBeCloseTo(gating === "softmax" ? 0 : 1 - weight, 5);
      }
      expect((await status)[0]).toBe(N); // the zero expert takes no row
      made[Symbol.dispose]();
    }
  });

  test("scores over their deviation have the deviation that was asked for", async () => {
    using made = router({ scoreDeviation: 2.5, hasHiddenLayer: false });
    const { logits, weights } = await routed(made, uniformArray(N * H, 7));
    for (const [n, row] of rowsOf(logits, E).entries()) {
      const mean = row.reduce((a, b) => a + b, 0) / E;
      const deviation = Math.sqrt(row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (E - 1));
      const falling = row.map((v) => (2.5 * v) / deviation).sort((a, b) => b - a) as [number, number];
      const [first = 0, second = 0] = rowsOf(weights, 2)[n] ?? [];
      if (first > 0 && second > 0) expect(first / second).toBeCloseTo(Math.exp(falling[0] - falling[1]), 2);
    }
  });

  test("true experts have room for their share alone", async () => {
    using made = router({ capacityFactor: 0.5 });
    const { plan } = await routed(made, uniformArray(N * H, 7));
    const capacity = Math.ceil((0.5 * 0.75 * 2 * N) / (0.75 * 3 + 4));
    const offsets = plan.groupOffsets;
    for (let e = 0; e < 3; e++)
      expect((offsets[e + 1] as number) - (offsets[e] as number)).toBeLessThanOrEqual(capacity);
  });
});

describe("ZeroComputationExperts", () => {
  const layer = (first: number, second: number) => {
    const { router: made, state } = choosing(first, second);
    const experts = new ZeroComputationExperts(device, {
      hiddenSize: H,
      numExperts: E,
      intermediateSize: 4,
      ...SPECIAL,
      inputScale: 2,
    });
    const moe = new MoeLayer(device, { router: made, experts });
    experts.initialize(key);
    return { moe, experts, state };
  };

  test("copy and zero give the scaled input; copy and constant their mixture", async () => {
    for (const [first, second] of [
      [5, 6],
      [5, 3],
    ] as const) {
      const { moe, experts, state } = layer(first, second);
      const { y, c, w } = scope(() => ({
        y: moe.forward(x(), { state }).y.read(),
        c: experts.constant?.read(),
        w: experts.constantGate?.read(),
      }));
      const [constant, gate] = [rowsOf((await c) ?? [], H)[0] ?? [], rowsOf((await w) ?? [], H)];
      const share = 1 / (1 + Math.exp(-1)); // of the first of two scores that differ by 1
      const expected = rowsOf(uniformArray(N * H, 7), H).flatMap((token) => {
        const input = token.map((v) => 2 * v);
        if (second === 6) return input;
        const score = (row: number) => input.reduce((sum, v, h) => sum + v * (gate[row]?.[h] as number), 0);
        const alpha = 1 / (1 + Math.exp(score(1) - score(0)));
        return input.map((v, h) => share * v + (1 - share) * (alpha * v + (1 - alpha) * (constant[h] as number)));
      });
      expectClose("y", await y, expected, 1e-5);
      moe[Symbol.dispose]();
    }
  });

  test("every kind gets its gradient, through the whole layer", async () => {
    using moe = new MoeLayer(device, {
      router: router(),
      experts: new ZeroComputationExperts(device, { hiddenSize: H, numExperts: E, intermediateSize: 4, ...SPECIAL }),
    });
    moe.initialize(key);
    const parameters = moe.parameters();
    const read = scope(() => {
      const tape = new Tape(parameters.values());
      const y = tape.run(() => moe.forward(x()).y);
      const found = tape.backward(y, tensor(device, Float32Array.from(uniformArray(N * H, 9)), [N, H]));
      return [...parameters].map(([name, p]) => [name, found.get(p)?.read()] as const);
    });
    for (const [name, gradient] of read)
      expect([name, (await gradient)?.some((v) => v !== 0) ?? false]).toEqual([name, !name.includes("gate_map")]);
  });

  test("refuses kinds that leave no true expert", () => {
    expect(
      () => new ZeroComputationExperts(device, { hiddenSize: 2, numExperts: 3, intermediateSize: 2, constant: 3 }),
    ).toThrow("3 constant, 0 copy and 0 zero of 3 experts leave 0 true ones");
  });
});

test("heterogeneousBalanceLoss weighs true experts by 1 and others by τ", async () => {
  using made = router();
  const { loss, plan, probs } = scope(() => {
    const routing = made.route(x());
    const loss = heterogeneousBalanceLoss(routing, { numTrueExperts: 3, zeroComputationShare: 0.4 });
    return { loss: loss.read(), plan: routing.plan.assignmentExpert.read(), probs: routing.probs.read() };
  });
  const [chosen, p] = [[...(await plan)], rowsOf(await probs, E)];
  const expected = Array.from({ length: E }, (_, e) => {
    const f = chosen.filter((expert) => expert === e).length / N;
    return (e < 3 ? 1 : 0.4) * f * (p.reduce((sum, row) => sum + (row[e] as number), 0) / N);
  }).reduce((a, b) => a + b, 0);
  expect((await loss)[0]).toBeCloseTo(expected, 5);
});
