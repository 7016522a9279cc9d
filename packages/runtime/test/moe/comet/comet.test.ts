import { checkOp, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import {
  CometRouter,
  DSelectKRouter,
  PermutationLearner,
  PermutedRouter,
  permutationEntropy,
  reachabilityLoss,
  selectorEntropy,
  TopKRouter,
} from "../../../src/moe/index.ts";
import { sinkhorn, Tape } from "../../../src/ops/index.ts";
import { RandomKey, scope, tensor } from "../../../src/tensor/index.ts";
import { rowsOf } from "../layer-reference.ts";
import { moduleAsOp } from "../module-as-op.ts";
import { checkContract, routed } from "../routers/router-checks.ts";

const device = await testDevice();
const key = new RandomKey(4);

describe("CometRouter", () => {
  test("keeps the contract of routers", async () => {
    await checkContract(
      ({ topK, ...sizes }) => new CometRouter(device, { ...sizes, numTrees: topK, stepWidth: 0.5 }),
      key,
    );
  });

  test("leaf probabilities of a tree sum to 1, for any number of experts", async () => {
    for (const numExperts of [2, 3, 5, 6, 8]) {
      using router = new CometRouter(device, { hiddenSize: 4, numExperts, numTrees: 2 }).initialize(key);
      spreadSelectors(router, 1);
      const { selectors } = scope(() => ({ selectors: router.route(inputs(9)).selectors.read() }));
      for (const row of rowsOf(await selectors, numExperts)) expect(row.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 5);
    }
  });

  test("a tree whose decisions are certain takes one expert, and passes no gradient to them", async () => {
    using router = new CometRouter(device, { hiddenSize: 4, numExperts: 6, numTrees: 2, stepWidth: 1e-4 }).initialize(
      key,
    );
    spreadSelectors(router, 1);
    const { plan, probs } = await routed(router, uniformArray(40, 8));
    const taken = rowsOf(probs, 6).map((row) => row.filter((g) => g > 0).length);
    expect(Math.max(...taken)).toBeLessThanOrEqual(2);
    expect(plan.status[0]).toBe(taken.reduce((a, b) => a + b, 0)); // experts without weight get no row
    const { gradient } = scope(() => {
      const tape = new Tape([router.selectorWeight]);
      const loss = tape.run(() => selectorEntropy(router.route(inputs(10))));
      return { gradient: tape.backward(loss).get(router.selectorWeight)?.read() };
    });
    expect((await gradient)?.every((slope) => slope === 0)).toBe(true);
  });

  test("the gradient of the entropy is that of its formula", async () => {
    const [N, H, E, k] = [4, 3, 4, 2];
    using router = new CometRouter(device, { hiddenSize: H, numExperts: E, numTrees: k, stepWidth: 8 });
    const parameters = [...router.parameters().values()];
    await checkOp(device, {
      op: moduleAsOp(router, (x) => selectorEntropy(router.route(x))),
      reference: (x, weight = new Float64Array(), bias = new Float64Array()) => {
        let total = 0;
        for (let n = 0; n < N; n++)
          for (let j = 0; j < k; j++) {
            const s = Array.from({ length: E - 1 }, (_, i) => {
              const row = j * (E - 1) + i;
              let t = bias[row] as number;
              for (let h = 0; h < H; h++) t += (weight[row * H + h] as number) * (x[n * H + h] as number);
              return (-2 * t ** 3) / 8 ** 3 + (3 * t) / 16 + 0.5;
            }) as [number, number, number];
            const leaves = [s[0] * s[1], s[0] * (1 - s[1]), (1 - s[0]) * s[2], (1 - s[0]) * (1 - s[2])];
            for (const p of leaves) total -= (p * Math.log(p + 1e-6)) / N;
          }
        return [total];
      },
      inputs: [{ shape: [N, H] }, ...parameters.map(({ shape }) => ({ shape }))],
    });
  });
});

describe("DSelectKRouter", () => {
  test("codes that name no expert cost, and a power of two has none", async () => {
    for (const numExperts of [5, 8]) {
      using router = new DSelectKRouter(device, { hiddenSize: 4, numExperts, numSelectors: 2 }).initialize(key);
      const { reach, probs } = scope(() => {
        const routing = router.route(inputs(6));
        return { reach: reachabilityLoss(routing).read(), probs: routing.probs.read() };
      });
      const mass = rowsOf(await probs, numExperts).map((row) => row.reduce((a, b) => a + b, 0));
      if (numExperts === 8) {
        expect((await reach)[0]).toBeCloseTo(12, 3); // 6 tokens, 2 selectors, all of whose mass is reachable
        for (const total of mass) expect(total).toBeCloseTo(1, 5);
      } else {
        expect((await reach)[0]).toBeGreaterThan(14);
        for (const total of mass) expect(total).toBeLessThan(0.9);
      }
    }
  });

  test("the static gate routes every token alike", async () => {
    using router = new DSelectKRouter(device, { hiddenSize: 4, numExperts: 4, numSelectors: 2, isStatic: true });
    router.initialize(key);
    const { probs } = await routed(router, uniformArray(12, 2));
    const [first, ...others] = rowsOf(probs, 4);
    for (const row of others) expect(row).toEqual(first);
  });
});

describe("PermutationLearner", () => {
  test("Sinkhorn's matrix is doubly stochastic", async () => {
    const logits = tensor(device, Float32Array.from(uniformArray(2 * 25, 3, -4, 4)), [2, 5, 5]);
    const { p } = scope(() => ({ p: sinkhorn(logits, 60).read() }));
    const rows = rowsOf(await p, 5);
    for (const row of rows) expect(row.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 4);
    for (const m of [0, 1])
      for (let c = 0; c < 5; c++)
        expect(rows.slice(5 * m, 5 * m + 5).reduce((sum, row) => sum + (row[c] as number), 0)).toBeCloseTo(1, 4);
  });

  test.each([
    [1, 1],
    [5, 1],
    [4, 7],
    [70, 3],
  ])("Sinkhorn of %i rows, %i iterations: values and gradients of float64", async (n, iterations) => {
    await checkOp(device, {
      op: (logits) => sinkhorn(logits, iterations),
      reference: (logits) => {
        const out = new Float64Array(logits.length);
        for (let m = 0; m < 2; m++) {
          let p = rowsOf(logits.slice(m * n * n, (m + 1) * n * n), n).map((row) => row.map(Math.exp));
          const turn = (rows: number[][]) => rows.map((_, i) => rows.map((row) => row[i] as number));
          const shares = (rows: number[][]) =>
            rows.map((row) => row.map((value) => value / row.reduce((a, b) => a + b, 0)));
          for (let t = 0; t < iterations; t++) p = turn(shares(turn(shares(p))));
          out.set(p.flat(), m * n * n);
        }
        return out;
      },
      inputs: [{ shape: [2, n, n], low: -2, high: 2 }],
      tolerance: 5e-6,
    });
  });

  test("the entropy is 0 for a permutation and largest for even shares", async () => {
    const of = async (values: number[]) => {
      const p = tensor(device, Float32Array.from(values), [1, 2, 2]);
      return (await scope(() => ({ e: permutationEntropy(p).read() })).e)[0];
    };
    expect(await of([0, 1, 1, 0])).toBeCloseTo(0, 4);
    expect(await of([0.5, 0.5, 0.5, 0.5])).toBeCloseTo(4 * Math.log(2), 4); // twice 2 ln 2
  });

  test("ends in a permutation, read back once, that relabels the experts of the gate", async () => {
    const sizes = { hiddenSize: 4, numExperts: 5 };
    const learner = new PermutationLearner(device, { numExperts: 5, steps: 10 });
    using router = new PermutedRouter(new TopKRouter(device, { ...sizes, topK: 2, normalizeTopK: true }), learner);
    router.initialize(key);
    const soft = await routed(router, uniformArray(24, 7));
    expect(soft.plan.status[0]).toBeGreaterThan(12); // while it is soft, more experts than two get weight
    const { reads } = device.counters;
    await learner.fix();
    expect(device.counters.reads).toBe(reads + 1);
    const permutation = await learner.permutation().read();
    for (const row of rowsOf(permutation, 5)) expect([...row].sort()).toEqual([0, 0, 0, 0, 1]);
    const plain = await routed(router.router, uniformArray(24, 7));
    const hard = await routed(router, uniformArray(24, 7));
    expect(hard.plan.status[0]).toBe(12);
    const expected = plain.plan.assignmentExpert.map((e) => permutation.slice(5 * e, 5 * e + 5).indexOf(1));
    for (const [a, expert] of expected.entries())
      expect(hard.probs[Math.floor(a / 2) * 5 + expert]).toBeCloseTo(plain.weights[a] as number, 5);
  });

  test("its state survives a round trip", async () => {
    using learner = new PermutationLearner(device, { numExperts: 3, steps: 4 }).initialize(key);
    learner.step = 4;
    await learner.fix();
    using copy = new PermutationLearner(device, { numExperts: 3, steps: 4 });
    copy.restore(JSON.parse(JSON.stringify(await learner.state())));
    expect(copy.isFixed).toBe(true);
    expect(copy.step).toBe(4);
    expect(await copy.permutation().read()).toEqual(await learner.permutation().read());
    expect(copy.trainableParameters().size).toBe(0);
  });

  test("moves the gate's experts by its matrix, each selector by its own", async () => {
    using router = new CometRouter(device, { hiddenSize: 4, numExperts: 3, numTrees: 2 }).initialize(key);
    const rotate = [0, 1, 0, 0, 0, 1, 1, 0, 0];
    const both = tensor(device, Float32Array.from([...rotate, ...rotate]), [2, 3, 3]);
    const { plain, moved } = scope(() => ({
      plain: router.route(inputs(5)).probs.read(),
      moved: router.route(inputs(5), undefined, { permutation: both }).probs.read(),
    }));
    const before = rowsOf(await plain, 3) as [number, number, number][];
    for (const [n, row] of rowsOf(await moved, 3).entries())
      for (const [l, g] of row.entries()) expect(g).toBeCloseTo(before[n]?.[(l + 2) % 3] as number, 6);
    expect(() =>
      router.route(inputs(5), undefined, { permutation: tensor(device, new Float32Array(4), [1, 2, 2]) }),
    ).toThrow("permutation [1, 2, 2] for 2 selectors of 3 experts");
  });
});

const inputs = (tokens: number) => tensor(device, Float32Array.from(uniformArray(tokens * 4, 9)), [tokens, 4]);

/** Wide decisions in place of the undecided start. */
function spreadSelectors(router: CometRouter, spread: number): void {
  router.selectorWeight.write(Float32Array.from(uniformArray(router.selectorWeight.size, 5, -spread, spread)));
}
