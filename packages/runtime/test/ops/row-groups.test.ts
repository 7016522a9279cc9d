import { checkOp, expectClose, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { planTopK } from "../../src/moe/plan.ts";
import { combineLinear, expandLinear, expandSwiglu } from "../../src/ops/row-groups.ts";
import { swiglu } from "../../src/ops/swiglu.ts";
import { keep, scope, tensor } from "../../src/tensor/index.ts";

const device = await testDevice();

// Five tokens, two of three experts each; expert 3 has no product, token 3 names expert 2 twice, and two rows an expert leave none for token 4.
const CHOICES = [
  [0, 1],
  [3, 0],
  [1, 3],
  [2, 2],
  [0, 1],
];
const [N, K, G, IN, MIDDLE, OUT] = [5, 2, 3, 5, 4, 3];
const CAPACITY = 2;
const plan = scope(() => {
  const weights = tensor(device, new Float32Array(N * K), [N, K]);
  return planTopK(tensor(device, Uint32Array.from(CHOICES.flat()), [N, K]), weights, {
    numExperts: G,
    capacity: CAPACITY,
  });
});
for (const part of Object.values(plan)) if (typeof part === "object") keep(part);

/** Groups of the assignments that have a row, in token order; -1 for the others. */
const placed = CHOICES.flat().map((group, a, all) => {
  const before = all.slice(0, a).filter((other) => other === group).length;
  return group < G && before < CAPACITY ? group : -1;
});

const times = (w: Float64Array, group: number, out: number, x: ArrayLike<number>) =>
  Array.from({ length: out }, (_, o) =>
    Array.from(x).reduce((sum, value, i) => sum + (w[(group * out + o) * x.length + i] as number) * value, 0),
  );

describe("expandLinear, then combineLinear", () => {
  test("match float64 and their gradients, with drops, repeats and experts without a product", async () => {
    await checkOp(device, {
      op: (x, up, down, weights) => combineLinear(expandLinear(x, up, plan), down, weights, plan),
      reference: (x, up, down, weights) =>
        Array.from({ length: N }, (_, n) => {
          const y = new Array<number>(OUT).fill(0);
          for (const k of [0, 1]) {
            const [a, group] = [n * K + k, placed[n * K + k] as number];
            if (group < 0) continue;
            const hidden = times(up, group, MIDDLE, x.subarray(n * IN, n * IN + IN));
            for (const [o, value] of times(down, group, OUT, hidden).entries())
              y[o] = (y[o] as number) + (weights[a] as number) * value;
          }
          return y;
        }).flat(),
      inputs: [{ shape: [N, IN] }, { shape: [G, MIDDLE, IN] }, { shape: [G, OUT, MIDDLE] }, { shape: [N * K] }],
    });
  });

  test("the first half of gated experts is the same with a tape and without, where one kernel does it", async () => {
    const random = (seed: number, ...shape: number[]) =>
      tensor(
        device,
        Float32Array.from(
          uniformArray(
            shape.reduce((a, b) => a * b, 1),
            seed,
          ),
        ),
        shape,
      );
    const [x, gate, up] = [random(1, N, IN), random(2, G, MIDDLE, IN), random(3, G, MIDDLE, IN)];
    const { fused, composed } = scope(() => ({
      fused: expandSwiglu(x, gate, up, plan).read(),
      composed: swiglu(expandLinear(x, gate, plan), expandLinear(x, up, plan)).read(),
    }));
    const rows = placed.filter((group) => group >= 0).length * MIDDLE;
    expectClose("hidden", (await fused).slice(0, rows), (await composed).slice(0, rows), 1e-6);
  });

  test("refuse rows and weights that are not the plan's", () => {
    const ones = (...shape: number[]) => tensor(device, new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);
    expect(() => expandLinear(ones(4, IN), ones(G, MIDDLE, IN), plan)).toThrow(
      "expandLinear: the plan needs rows [5, in] and weights [3, out, in], got [4, 5] and [3, 4, 5]",
    );
    expect(() => combineLinear(ones(N * K, IN), ones(2, OUT, IN), ones(N * K), plan)).toThrow(
      "got [10, 5] and [2, 3, 5]",
    );
    expect(() => combineLinear(ones(N * K, IN), ones(G, OUT, IN), ones(N), plan)).toThrow(
      "combineLinear: expertWeights has shape [5], expected [10]",
    );
  });
});
