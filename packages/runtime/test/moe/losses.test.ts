import { checkOp, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import {
  type BalanceForm,
  balanceLoss,
  deviceBalanceLoss,
  type Routing,
  sequenceBalanceLoss,
  sparseRouting,
  zLoss,
} from "../../src/moe/index.ts";
import { softmax, topK } from "../../src/ops/index.ts";
import { scope, type Tensor, tensor } from "../../src/tensor/index.ts";
import { rowsOf, softmax as softmaxOf } from "./layer-reference.ts";

const device = await testDevice();

/** A routing with given choices and probabilities, one list a token. */
function routing(indices: number[][], probs: number[][]): Routing {
  const k = indices[0]?.length ?? 1;
  const p = tensor(device, probs.flat(), [probs.length, probs[0]?.length ?? 1]);
  return sparseRouting({
    indices: tensor(device, Uint32Array.from(indices.flat()), [indices.length, k]),
    weights: tensor(device, new Float32Array(indices.length * k), [indices.length, k]),
    probs: p,
    logits: p,
  });
}

const read = (loss: () => Tensor<"f32">) => scope(() => ({ value: loss().item() })).value;
const forms: BalanceForm[] = ["concatenated", "switch", "gshard"];

describe("balanceLoss", () => {
  // Four tokens choose (0,1), (2,3), (1,0), (3,2) of four experts, each with probability 1/4: f = 1/2 each, first choices f¹ = 1/4.
  // concatenated: 4 · Σ 1/2 · 1/4 = 2; switch: 2 / 2 = 1; gshard: 4 · Σ 1/4 · 1/4 = 1.
  test.each([
    ["concatenated", 2],
    ["switch", 1],
    ["gshard", 1],
  ] as const)("%s is %d at balance", async (form, expected) => {
    const even = () =>
      routing(
        [
          [0, 1],
          [2, 3],
          [1, 0],
          [3, 2],
        ],
        new Array(4).fill([0.25, 0.25, 0.25, 0.25]),
      );
    expect(await read(() => balanceLoss([even()], { form }))).toBeCloseTo(expected, 6);
  });

  // All choose (0,1), with probability 3/4 and 1/4: f = (1,1,0,0), P = (3/4,1/4,0,0).
  // concatenated: 4 · 1 = E; switch: 4 / 2 = E / k; gshard: f¹ = (1,0,0,0), 4 · 3/4 = 3.
  test.each([
    ["concatenated", 4],
    ["switch", 2],
    ["gshard", 3],
  ] as const)("%s is %d when all tokens choose the same", async (form, expected) => {
    const same = () => routing(new Array(5).fill([0, 1]), new Array(5).fill([0.75, 0.25, 0, 0]));
    expect(await read(() => balanceLoss([same()], { form }))).toBeCloseTo(expected, 6);
  });

  // Layer 1 sends all to expert 0, layer 2 all to expert 1. Together f = P = (1/2, 1/2): 2 · 1/2 = 1. One by one 2 each, and so the mean.
  test.each([
    ["concatenated", 1],
    ["switch", 2],
    ["gshard", 2],
  ] as const)("%s over two layers that lean to opposite sides is %d", async (form, expected) => {
    const layers = () => [
      routing([[0], [0], [0]], new Array(3).fill([1, 0])),
      routing([[1], [1], [1]], new Array(3).fill([0, 1])),
    ];
    expect(await read(() => balanceLoss(layers(), { form }))).toBeCloseTo(expected, 6);
  });

  test.each(forms)("%s leaves padding out", async (form) => {
    const indices = [
      [0, 1],
      [2, 1],
      [0, 2],
      [1, 2],
    ];
    const probs = [
      [0.6, 0.3, 0.1],
      [0.1, 0.3, 0.6],
      [0.5, 0.1, 0.4],
      [0.2, 0.5, 0.3],
    ];
    const masked = read(() => balanceLoss([routing(indices, probs)], { form, mask: tensor(device, [1, 0, 1, 0]) }));
    const alone = read(() =>
      balanceLoss(
        [
          routing(
            [0, 2].map((n) => indices[n] ?? []),
            [0, 2].map((n) => probs[n] ?? []),
          ),
        ],
        { form },
      ),
    );
    expect(await masked).toBeCloseTo(await alone, 6);
  });

  test.each(forms)("%s: only padding, or no token, gives 0", async (form) => {
    const one = () => routing([[0]], [[1, 0]]);
    expect(await read(() => balanceLoss([one()], { form, mask: tensor(device, [0]) }))).toBe(0);
    const none = () => {
      const empty = tensor(device, new Float32Array(0), [0, 3]);
      const { indices, values: weights } = topK(empty, 2);
      return sparseRouting({ indices, weights, probs: empty, logits: empty });
    };
    expect(await read(() => balanceLoss([none()], { form }))).toBe(0);
  });

  test("needs a layer", () => {
    expect(() => balanceLoss([])).toThrow("balanceLoss: needs the routing of at least one layer");
  });
});

describe("zLoss", () => {
  test("is the mean square of logsumexp", async () => {
    // logsumexp(0, 0) = ln 2, logsumexp(ln 3, 0) = ln 4 = 2 ln 2: mean (1 + 4) / 2 · (ln 2)²
    const layer = () =>
      routing(
        [[0], [0]],
        [
          [0, 0],
          [Math.log(3), 0],
        ],
      );
    expect(await read(() => zLoss([layer()]))).toBeCloseTo(2.5 * Math.LN2 ** 2, 6);
    const mask = () => tensor(device, [0, 1]);
    expect(await read(() => zLoss([layer()], { mask: mask() }))).toBeCloseTo(4 * Math.LN2 ** 2, 6);
    expect(() => zLoss([])).toThrow("zLoss: needs the routing of at least one layer");
  });
});

describe("gradients of the losses match float64", () => {
  const [N, E, K] = [21, 5, 2];
  const mask = Array.from({ length: N }, (_, n): number => (n % 4 === 1 ? 0 : 1));
  const kept = mask.reduce((a, b) => a + b, 0);

  const layers = (logits: Tensor<"f32">[]) =>
    logits.map((l) => {
      const probs = softmax(l);
      const { indices, values } = topK(probs, K);
      return sparseRouting({ indices, weights: values, probs, logits: l });
    });

  /** f and P of one layer over the tokens that count. */
  function shares(logits: Float64Array, k: number) {
    const [f, P] = [new Array<number>(E).fill(0), new Array<number>(E).fill(0)];
    for (const [n, row] of rowsOf(logits, E).entries()) {
      if (mask[n] === 0) continue;
      const probs = softmaxOf(row);
      const best = [...probs.keys()].sort((a, b) => (probs[b] as number) - (probs[a] as number)).slice(0, k);
      for (const e of best) f[e] = (f[e] as number) + 1 / kept;
      for (const [e, p] of probs.entries()) P[e] = (P[e] as number) + p / kept;
    }
    return { f, P };
  }
  const dot = (a: number[], b: number[]) => a.reduce((sum, x, i) => sum + x * (b[i] as number), 0);
  const plus = (a: number[], b: number[]) => a.map((x, i) => x + (b[i] as number));
  const inputs = [
    { shape: [N, E], data: uniformArray(N * E, 5, -3, 3) },
    { shape: [N, E], data: uniformArray(N * E, 6, -3, 3) },
  ];

  test("concatenated", async () => {
    await checkOp(device, {
      op: (...logits) => balanceLoss(layers(logits), { mask: tensor(device, mask) }),
      reference: (...logits) => {
        const [a, b] = logits.map((l) => shares(l, K)) as [ReturnType<typeof shares>, ReturnType<typeof shares>];
        return [(E * dot(plus(a.f, b.f), plus(a.P, b.P))) / 4];
      },
      inputs,
      step: 1e-6,
    });
  });

  test.each([
    ["switch", K, K],
    ["gshard", 1, 1],
  ] as const)("%s", async (form, k, divisor) => {
    await checkOp(device, {
      op: (...logits) => balanceLoss(layers(logits), { form, mask: tensor(device, mask) }),
      reference: (...logits) => {
        const each = logits.map((l) => {
          const { f, P } = shares(l, k);
          return (E * dot(f, P)) / divisor;
        });
        return [each.reduce((a, b) => a + b, 0) / each.length];
      },
      inputs,
      step: 1e-6,
    });
  });

  test("zLoss", async () => {
    await checkOp(device, {
      op: (...logits) => zLoss(layers(logits), { mask: tensor(device, mask) }),
      reference: (...logits) => {
        const squares = logits.flatMap((l) =>
          rowsOf(l, E).map((row, n) => (mask[n] as number) * Math.log(row.reduce((s, x) => s + Math.exp(x), 0)) ** 2),
        );
        return [squares.reduce((a, b) => a + b, 0) / (2 * kept)];
      },
      inputs,
    });
  });
});

describe("the losses of DeepSeekMoE", () => {
  // Two sequences of two tokens; the first leans to experts 0 and 1, the second to 2 and 3, so that together they are even.
  const leaning = () =>
    routing(
      [
        [0, 1],
        [0, 1],
        [2, 3],
        [2, 3],
      ],
      [
        [0.5, 0.5, 0, 0],
        [0.5, 0.5, 0, 0],
        [0, 0, 0.5, 0.5],
        [0, 0, 0.5, 0.5],
      ],
    );

  test("a sequence that leans is seen, whatever the batch does", async () => {
    expect(await read(() => balanceLoss([leaning()], { form: "switch" }))).toBeCloseTo(1, 6);
    // In each sequence f = P = 1/2 for two of four experts: 4 · 2 · 1/4 = 2.
    expect(await read(() => sequenceBalanceLoss(leaning(), 2))).toBeCloseTo(2, 6);
    expect(await read(() => sequenceBalanceLoss(leaning(), 1))).toBeCloseTo(1, 6);
    expect(() => sequenceBalanceLoss(leaning(), 3)).toThrow("4 tokens cannot make 3 sequences");
  });

  test("devices are even when their experts are together", async () => {
    const oneOfEach = () =>
      routing(
        [[0], [2]],
        [
          [1, 0, 0, 0],
          [0, 0, 1, 0],
        ],
      );
    // f = 4 · 1/2 for experts 0 and 2, so a device's mean is 1 and its probability 1/2: balanced, though half the experts idle.
    expect(await read(() => deviceBalanceLoss(oneOfEach(), 2))).toBeCloseTo(1, 6);
    const oneDevice = () =>
      routing(
        [[0], [1]],
        [
          [1, 0, 0, 0],
          [0, 1, 0, 0],
        ],
      );
    expect(await read(() => deviceBalanceLoss(oneDevice(), 2))).toBeCloseTo(2, 6);
    expect(() => deviceBalanceLoss(oneDevice(), 3)).toThrow("4 experts cannot be split evenly over 3 devices");
  });
});
