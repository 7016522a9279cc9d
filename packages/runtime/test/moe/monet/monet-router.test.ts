import { checkOp, expectClose, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { HorizontalExperts, MonetRouter, type ProductRouting } from "../../../src/moe/index.ts";
import { normalQuantile } from "../../../src/moe/monet/normal-quantile.ts";
import { RandomKey, scope, type Tensor, tensor } from "../../../src/tensor/index.ts";
import { rowsOf } from "../layer-reference.ts";
import { moduleAsOp } from "../module-as-op.ts";
import { bruteForce, horizontalExpert, referenceGates } from "./monet-reference.ts";

const device = await testDevice();

type F32 = Tensor<"f32">;

const [N, H, M, heads, topK] = [40, 6, 8, 2, 2];
const options = { hiddenSize: H, keysPerAxis: M, numHeads: heads, topK };
const shape = { H, M, heads, m: 3 };
const data = Float32Array.from(uniformArray(N * H, 1));
const input = (values = data) => tensor(device, values, [values.length / H, H]);
const routerOf = (seed: number, own = options) => new MonetRouter(device, own).initialize(new RandomKey(seed));

/** Everything of a routing on the host. */
async function read(routing: () => ProductRouting) {
  const { reads } = scope(() => {
    const { g1, g2, norm1, norm2 } = routing();
    return { reads: [g1, g2, norm1, norm2].map((tensor) => tensor.read()) };
  });
  const [g1, g2, norm1, norm2] = (await Promise.all(reads)) as [Float32Array, Float32Array, Float32Array, Float32Array];
  return { g1, g2, norm1, norm2 };
}

describe("normalQuantile", () => {
  // The spec's figure for 512 and 32, and values of mpmath's erfinv.
  test.each([
    [1 - 32 / 512, 1.5341205443525463],
    [0.75, 0.6744897501960817],
    [0.5, 0],
    [0.975, 1.959963984540054],
    [1 - 1e-9, 5.997807019601637],
    [0.1, -1.2815515655446004],
  ])("of %d is %d", (p, expected) => {
    expect(normalQuantile(p)).toBeCloseTo(expected, 7);
  });

  test("0 and 1 have none", () => {
    expect(() => normalQuantile(1)).toThrow("normalQuantile: p is 1, expected 0 < p < 1");
  });
});

describe("MonetRouter", () => {
  test("gates of a head add up to 1, and the highest score is always kept", async () => {
    using router = routerOf(2);
    // Scores far below the running mean: none reaches the quantile.
    router.firstNorm.runningMean.write(new Float32Array(heads).fill(5));
    const { g1, g2, norm1 } = await read(() => router.route(input()));
    for (const gates of [g1, g2])
      for (const row of rowsOf(gates, M)) expect(row.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 5);
    expect(Math.max(...norm1)).toBeLessThan(router.threshold);
    for (const [r, row] of rowsOf(norm1, M).entries()) {
      const gates = rowsOf(g1, M)[r] as number[];
      expect(gates.filter((gate) => gate > 0)).toEqual([1]);
      expect(gates.indexOf(1)).toBe(row.indexOf(Math.max(...row)));
    }
  });

  test("keeps about K keys a head when scores are normal", async () => {
    const wide = { hiddenSize: 32, keysPerAxis: 64, numHeads: 4, topK: 8 };
    using router = routerOf(3, wide);
    const x = new RandomKey(4).normal(200 * 32);
    const { g1 } = await read(() => router.route(tensor(device, x, [200, 32]), { training: true }));
    const kept = rowsOf(g1, 64).map((row) => row.filter((gate) => gate > 0).length);
    const average = kept.reduce((a, b) => a + b, 0) / kept.length;
    expect(average).toBeGreaterThan(7);
    expect(average).toBeLessThan(9);
  });

  test.each([false, true])("matches float64, training %s", async (training) => {
    using router = routerOf(5);
    router.firstNorm.runningMean.write(Float32Array.of(0.01, -0.02));
    router.firstNorm.runningVariance.write(Float32Array.of(0.003, 0.002));
    const [w1, w2] = await Promise.all([router.first.weight.read(), router.second.weight.read()]);
    const { g1, g2 } = await read(() => router.route(input(), { training }));
    const running = [
      [
        { mean: Math.fround(0.01), variance: Math.fround(0.003) },
        { mean: Math.fround(-0.02), variance: Math.fround(0.002) },
      ],
      [
        { mean: 0, variance: 1 },
        { mean: 0, variance: 1 },
      ],
    ];
    const [first, second] = referenceGates(data, [w1, w2], shape, router.threshold, training ? undefined : running);
    expectClose("g1", g1, first.flat(2), 1e-5);
    expectClose("g2", g2, second.flat(2), 1e-5);
  });

  test("the gradient through a whole layer matches finite differences, up to the projections", async () => {
    const few = 4;
    using router = routerOf(6);
    using experts = new HorizontalExperts(device, { hiddenSize: H, keysPerAxis: M, expertSize: shape.m });
    const values = [...experts.parameters().values()].map(({ shape }, i) =>
      Float32Array.from(
        uniformArray(
          shape.reduce((a, b) => a * b, 1),
          30 + i,
        ),
      ),
    );
    for (const [i, parameter] of [...experts.parameters().values()].entries())
      parameter.write(values[i] as Float32Array<ArrayBuffer>);
    await checkOp(device, {
      op: (x, w1, w2) => {
        const buffers = [...router.parameters().values()].filter(({ trainable }) => !trainable);
        const byName = [w1, w2] as F32[];
        const all = [...router.parameters().values()].map((parameter) =>
          buffers.includes(parameter) ? parameter : (byName.shift() as F32),
        );
        return moduleAsOp(router, (x) => experts.forward(x, router.route(x)))(x as F32, ...all);
      },
      reference: (x, w1, w2) => {
        const even = Array.from({ length: heads }, () => ({ mean: 0, variance: 1 }));
        const gates = referenceGates(
          x as Float64Array,
          [w1 as Float64Array, w2 as Float64Array],
          shape,
          router.threshold,
          [even, even],
        );
        return bruteForce(x as Float64Array, gates, values, shape, horizontalExpert);
      },
      inputs: [{ shape: [few, H] }, { shape: [heads * M, H] }, { shape: [heads * M, H] }],
      step: 1e-6,
      tolerance: 1e-5,
    });
  });

  test("in use a token's keys do not depend on its batch mates, in training they do", async () => {
    using router = routerOf(2);
    const [alone, together] = await Promise.all(
      [data.slice(0, H), data].map((x) => read(() => router.route(input(x)))),
    );
    expect(together?.g1.slice(0, heads * M)).toEqual(alone?.g1);
    const trained = await Promise.all(
      [data.slice(0, 2 * H), data].map((x) => read(() => router.route(input(x), { training: true }))),
    );
    expect(trained[1]?.norm1.slice(0, 2 * heads * M)).not.toEqual(trained[0]?.norm1);
  });

  test("all keys of an axis are kept where K is their number, and one key takes all", async () => {
    using router = routerOf(2, { ...options, topK: M });
    expect((await read(() => router.route(input()))).g1.every((gate) => gate > 0)).toBe(true);
    using single = routerOf(2, { ...options, keysPerAxis: 1, topK: 1 });
    expect((await read(() => single.route(input()))).g1).toEqual(new Float32Array(N * heads).fill(1));
  });

  test("one token and no tokens", async () => {
    using router = routerOf(2);
    expect((await read(() => router.route(input(data.slice(0, H))))).g1.every(Number.isFinite)).toBe(true);
    expect((await read(() => router.route(input(new Float32Array(0))))).g1).toHaveLength(0);
  });

  test("running statistics change by updateStatistics alone, a tenth of the way to the batch's", async () => {
    using router = routerOf(2);
    const { firstNorm } = router;
    const before = await firstNorm.runningMean.read();
    const { reads } = scope(() => {
      router.route(input());
      const routing = router.route(input(), { training: true });
      const untouched = firstNorm.runningMean.read();
      router.updateStatistics(routing);
      const { runningMean, runningVariance, numBatchesTracked } = firstNorm;
      return { reads: [untouched, ...[runningMean, runningVariance, numBatchesTracked].map((b) => b.read())] };
    });
    const [untouched, mean, variance, count] = (await Promise.all(reads)) as Float32Array[];
    expect(untouched).toEqual(before);
    const weight = await router.first.weight.read();
    for (let h = 0; h < heads; h++) {
      const scores = rowsOf(data, H).flatMap((row) =>
        Array.from({ length: M }, (_, i) =>
          row.reduce((sum, value, k) => sum + value * (weight[(h * M + i) * H + k] as number), 0),
        ),
      );
      const ofBatch = scores.reduce((a, b) => a + b, 0) / scores.length;
      const spread = scores.reduce((sum, score) => sum + (score - ofBatch) ** 2, 0) / (scores.length - 1);
      expect(mean?.[h]).toBeCloseTo(0.1 * ofBatch, 6);
      expect(variance?.[h]).toBeCloseTo(0.9 + 0.1 * spread, 6);
    }
    expect([...(count as Float32Array)]).toEqual([1]);
  });

  test("parameters have the published names; statistics are no training matter", () => {
    using router = routerOf(2);
    const buffers = ["running_mean", "running_var", "num_batches_tracked"];
    const ofNorm = (norm: string) => buffers.map((name) => `${norm}.${name}`);
    expect([...router.parameters().keys()]).toEqual(["w1.weight", "w2.weight", ...ofNorm("norm1"), ...ofNorm("norm2")]);
    expect([...router.trainableParameters().keys()]).toEqual(["w1.weight", "w2.weight"]);
    router.setTrainable(false);
    expect(router.trainableParameters().size).toBe(0);
  });

  test("topK out of range is an error", () => {
    expect(() => new MonetRouter(device, { ...options, topK: 9 })).toThrow(
      "MonetRouter: need 1 ≤ topK ≤ keysPerAxis, got topK=9, keysPerAxis=8",
    );
  });
});
