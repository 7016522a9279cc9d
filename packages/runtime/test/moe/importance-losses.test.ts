import { checkOp, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import {
  balanceLoss,
  importanceLoss,
  loadLoss,
  type Routing,
  type RoutingNoise,
  sparseRouting,
} from "../../src/moe/index.ts";
import { add, log, softmax, topK } from "../../src/ops/index.ts";
import { scope, type Tensor, tensor } from "../../src/tensor/index.ts";
import { rowsOf, softmax as softmaxOf } from "./layer-reference.ts";

const device = await testDevice();

type F32 = Tensor<"f32">;

interface RoutingOptions {
  k?: number;
  routingGroups?: number;
  noise?: RoutingNoise;
}

/** A routing by logits, with the softmax over the chosen ones as weights. */
function routing(logits: F32, { k = 2, routingGroups = 1, noise }: RoutingOptions = {}): Routing {
  const { indices, values } = topK(noise?.noisyLogits ?? logits, k);
  const probs = softmax(noise?.noisyLogits ?? logits);
  return sparseRouting({ indices, weights: softmax(values), probs, logits, routingGroups, noise });
}

const read = (loss: () => F32) => scope(() => ({ value: loss().item() })).value;

const squaredVariation = (x: number[], less = 0) => {
  const mean = x.reduce((a, b) => a + b, 0) / x.length;
  return x.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (x.length - less) / mean ** 2;
};
const columns = (rows: readonly number[][], weights = rows.map(() => 1)) =>
  (rows[0] ?? []).map((_, e) => rows.reduce((sum, row, n) => sum + (row[e] as number) * (weights[n] as number), 0));

/** Φ by Simpson's rule on the density. */
function normalCdf(z: number): number {
  const [low, steps] = [-12, 4000];
  if (z <= low) return 0;
  const h = (z - low) / steps;
  let sum = 0;
  for (let i = 0; i <= steps; i++)
    sum += Math.exp(-0.5 * (low + i * h) ** 2) * (i === 0 || i === steps ? 1 : i % 2 === 0 ? 2 : 4);
  return ((sum * h) / 3) * (1 / Math.sqrt(2 * Math.PI));
}

const [N, E, K] = [12, 5, 2];
const mask = Array.from({ length: N }, (_, n) => (n % 4 === 1 ? 0 : 1));

describe("importanceLoss", () => {
  test("the published example is 0.03875", async () => {
    const gates = [0.5, 0.4, 0.1, 0.3, 0.3, 0.4, 0.1, 0.2, 0.7, 0.8, 0.2, 1e-30];
    expect(await read(() => importanceLoss([routing(log(tensor(device, gates, [4, 3])))]))).toBeCloseTo(0.03875, 5);
  });

  test("equal probabilities give 0, one expert for all gives E − 1", async () => {
    expect(await read(() => importanceLoss([routing(tensor(device, new Float32Array(12), [3, 4]))]))).toBeCloseTo(0, 6);
    const sure = tensor(
      device,
      Float32Array.from({ length: 12 }, (_, i) => (i % 4 === 1 ? 60 : 0)),
      [3, 4],
    );
    expect(await read(() => importanceLoss([routing(sure)]))).toBeCloseTo(3, 5);
  });

  test.each([1, 3])(
    "of probabilities: values and gradients of float64 in %d routing groups, without padding",
    async (R) => {
      await checkOp(device, {
        op: (a, b) => {
          const layers = [a, b].map((logits) => routing(logits as F32, { routingGroups: R }));
          return importanceLoss(layers, { mask: tensor(device, mask) });
        },
        reference: (...layers) => {
          const each = layers.flatMap((logits) => {
            const probs = rowsOf(logits, E).map((row) => softmaxOf(row));
            const size = N / R;
            return Array.from({ length: R }, (_, g) => {
              const [begin, end] = [g * size, (g + 1) * size];
              return squaredVariation(columns(probs.slice(begin, end), mask.slice(begin, end)));
            });
          });
          return [each.reduce((a, b) => a + b, 0) / each.length];
        },
        inputs: [
          { shape: [N, E], low: -2, high: 2 },
          { shape: [N, E], low: -2, high: 2 },
        ],
        tolerance: 4e-6,
      });
    },
  );

  test.each([
    ["population", false],
    ["sample", true],
  ])("of weights, with the %s variance: values and gradients of float64", async (_, sampleVariance) => {
    await checkOp(device, {
      op: (logits) => importanceLoss([routing(logits as F32)], { of: "weights", sampleVariance }),
      reference: (logits) => {
        const gates = rowsOf(logits, E).map((row) => {
          const best = [...row.keys()].sort((a, b) => (row[b] as number) - (row[a] as number)).slice(0, K);
          const weights = softmaxOf(best.map((e) => row[e] as number));
          return row.map((_, e) => (best.includes(e) ? (weights[best.indexOf(e)] as number) : 0));
        });
        return [squaredVariation(columns(gates), sampleVariance ? 1 : 0)];
      },
      inputs: [{ shape: [N, E], low: -2, high: 2 }],
      tolerance: 4e-6,
      step: 1e-5,
    });
  });

  test("only padding, no token and one expert give 0; no layer is an error", async () => {
    const logits = () => tensor(device, Float32Array.from(uniformArray(8, 1)), [2, 4]);
    expect(await read(() => importanceLoss([routing(logits())], { mask: tensor(device, [0, 0]) }))).toBe(0);
    expect(await read(() => importanceLoss([routing(tensor(device, new Float32Array(0), [0, 4]))]))).toBe(0);
    const one = () => tensor(device, new Float32Array(3), [3, 1]);
    for (const sampleVariance of [false, true])
      expect(await read(() => importanceLoss([routing(one(), { k: 1 })], { sampleVariance }))).toBe(0);
    expect(() => importanceLoss([])).toThrow("importanceLoss: needs the routing of at least one layer");
  });
});

describe("loadLoss", () => {
  const drawn = uniformArray(N * E, 9, -2, 2);
  const noiseOf = (logits: F32, deviation: F32 | number) => {
    const noise = tensor(
      device,
      Float32Array.from(drawn, (v) => v * 0.5),
      [N, E],
    );
    return { noisyLogits: add(logits, noise), deviation, topK: K };
  };

  /** Σ over tokens of the chance to be chosen, were the expert's noise drawn again. */
  function loads(
    logits: Float64Array,
    thresholds: "kth" | "kth-of-others",
    deviation: (i: number) => number,
  ): number[] {
    const chances = rowsOf(logits, E).map((row, n) => {
      const noisy = row.map((value, e) => value + Math.fround((drawn[n * E + e] as number) * 0.5));
      return row.map((value, e) => {
        const rivals = thresholds === "kth" ? noisy : noisy.filter((_, other) => other !== e);
        const threshold = rivals.toSorted((a, b) => b - a)[K - 1] as number;
        return normalCdf((value - threshold) / deviation(n * E + e));
      });
    });
    return columns(chances);
  }

  test("by the K-th largest noisy logit: values and gradients of float64, through the threshold", async () => {
    await checkOp(device, {
      op: (logits) => loadLoss([routing(logits as F32, { noise: noiseOf(logits as F32, 0.5) })]),
      reference: (logits) => [squaredVariation(loads(logits, "kth", () => 0.5))],
      inputs: [{ shape: [N, E], low: -2, high: 2 }],
      tolerance: 1e-5,
      step: 1e-5,
    });
  });

  test("by the K-th largest of the others: values and gradients of float64, of the deviation too", async () => {
    await checkOp(device, {
      op: (logits, deviation) =>
        loadLoss([routing(logits as F32, { noise: noiseOf(logits as F32, deviation as F32) })], {
          threshold: "kth-of-others",
        }),
      reference: (logits, deviation) => [
        squaredVariation(loads(logits, "kth-of-others", (i) => deviation?.[i] as number)),
      ],
      inputs: [
        { shape: [N, E], low: -2, high: 2 },
        { shape: [N, E], low: 0.3, high: 1 },
      ],
      tolerance: 1e-5,
      step: 1e-5,
    });
  });

  test("experts that are all chosen have even loads", async () => {
    const value = read(() => {
      const logits = tensor(device, Float32Array.from(uniformArray(N * E, 2)), [N, E]);
      const noise = { ...noiseOf(logits, 0.5), topK: E };
      return loadLoss([routing(logits, { k: E, noise })], { threshold: "kth-of-others" });
    });
    expect(await value).toBe(0);
  });

  test("a routing without noise is an error", () => {
    const logits = tensor(device, new Float32Array(4), [1, 4]);
    expect(() => loadLoss([routing(logits)])).toThrow(
      "loadLoss: the router chose without noise; leave the load loss out, as evaluation does",
    );
  });
});

describe("balanceLoss in routing groups", () => {
  test("the published example is 1.0875", async () => {
    const gates = [0.5, 0.4, 0.1, 0.3, 0.3, 0.4, 0.1, 0.2, 0.7, 0.8, 0.2, 1e-30];
    const loss = () => balanceLoss([routing(log(tensor(device, gates, [4, 3])))], { form: "gshard" });
    expect(await read(loss)).toBeCloseTo(1.0875, 5);
  });

  test.each(["gshard", "switch"] as const)(
    "%s is the mean over groups, with the gradients of float64",
    async (form) => {
      const R = 3;
      await checkOp(device, {
        op: (logits) =>
          balanceLoss([routing(logits as F32, { routingGroups: R })], { form, mask: tensor(device, mask) }),
        reference: (logits) => {
          const rows = rowsOf(logits, E).map((row) => softmaxOf(row));
          const each = Array.from({ length: R }, (_, g) => {
            const own = [...rows.keys()].filter((n) => Math.floor((n * R) / N) === g && mask[n] === 1);
            const probabilities = columns(own.map((n) => rows[n] ?? [])).map((p) => p / own.length);
            const k = form === "gshard" ? 1 : K;
            const counts = new Array<number>(E).fill(0);
            for (const n of own) {
              const row = rows[n] ?? [];
              const best = [...row.keys()].sort((a, b) => (row[b] as number) - (row[a] as number)).slice(0, k);
              for (const e of best) counts[e] = (counts[e] as number) + 1 / (own.length * k);
            }
            return E * counts.reduce((sum, share, e) => sum + share * (probabilities[e] as number), 0);
          });
          return [each.reduce((a, b) => a + b, 0) / R];
        },
        inputs: [{ shape: [N, E], low: -2, high: 2 }],
        tolerance: 4e-6,
        step: 1e-5,
      });
    },
  );
});
