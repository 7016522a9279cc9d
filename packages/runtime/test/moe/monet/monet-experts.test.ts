import { checkOp, expectClose, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { profile } from "../../../src/device/index.ts";
import {
  ExpertMask,
  HorizontalExperts,
  type MaskedExperts,
  type MonetActivation,
  type ProductRouting,
  VerticalExperts,
} from "../../../src/moe/index.ts";
import { softmax } from "../../../src/ops/index.ts";
import { RandomKey, scope, type Tensor, tensor } from "../../../src/tensor/index.ts";
import { rowsOf, softmax as softmaxOf } from "../layer-reference.ts";
import { moduleAsOp } from "../module-as-op.ts";
import { bruteForce, type Gates, horizontalExpert, type MonetShape, verticalExpert } from "./monet-reference.ts";

const device = await testDevice();

type F32 = Tensor<"f32">;

const N = 5;
const shape: MonetShape = { H: 6, M: 4, heads: 2, m: 4 };
const gateSize = N * shape.heads * shape.M;

const kinds = {
  horizontal: { Experts: HorizontalExperts, expert: horizontalExpert },
  vertical: { Experts: VerticalExperts, expert: verticalExpert },
} as const;
type Kind = keyof typeof kinds;
const each = ["horizontal", "vertical"] as const satisfies readonly Kind[];

const make = (kind: Kind, activation: MonetActivation = "relu2") =>
  new kinds[kind].Experts(device, { hiddenSize: shape.H, keysPerAxis: shape.M, expertSize: shape.m, activation });

/** Gates as a softmax of the given scores [2 · N · heads · M], which is how a gradient reaches them. */
const gatesOf = (scores: ArrayLike<number>): Gates => {
  const axis = (from: number) =>
    rowsOf(
      Array.from({ length: gateSize }, (_, i) => scores[from + i] as number),
      shape.heads * shape.M,
    ).map((token) => rowsOf(token, shape.M).map(softmaxOf));
  return [axis(0), axis(gateSize)];
};

function routingOf(first: F32, second: F32): ProductRouting {
  const [g1, g2] = [softmax(first), softmax(second)];
  return { kind: "product", g1, g2, norm1: g1, norm2: g2 };
}

describe("factorised products equal the sum over all M² experts, and so do their gradients", () => {
  test.each<[Kind, MonetActivation, MaskedExperts | undefined]>([
    ["horizontal", "relu2", undefined],
    ["horizontal", "gelu", undefined],
    ["vertical", "relu2", undefined],
    ["vertical", "gelu", undefined],
    ["horizontal", "relu2", { rows: [1], columns: [0, 2], pairs: [[0, 1]] }],
    [
      "vertical",
      "relu2",
      {
        rows: [1],
        pairs: [
          [0, 1],
          [0, 3],
          [2, 3],
          [2, 3],
        ],
      },
    ],
    [
      "vertical",
      "gelu",
      {
        columns: [3],
        pairs: [
          [1, 3],
          [2, 0],
        ],
      },
    ],
  ])("%s, %s, masked %o", async (kind, activation, masked) => {
    using layer = make(kind, activation);
    using mask = masked && new ExpertMask(device, shape.M, masked);
    const isOn = (i: number, j: number) =>
      !masked?.rows?.includes(i) &&
      !masked?.columns?.includes(j) &&
      !masked?.pairs?.some(([a, b]) => a === i && b === j);
    const gateShape = [N, shape.heads, shape.M];
    await checkOp(device, {
      op: (x, first, second, ...parameters) =>
        moduleAsOp(layer, (x) => layer.forward(x, routingOf(first as F32, second as F32), mask))(
          x as F32,
          ...parameters,
        ),
      reference: (x, first, second, ...values) =>
        bruteForce(
          x as Float64Array,
          gatesOf([...(first as Float64Array), ...(second as Float64Array)]),
          values,
          { ...shape, activation },
          kinds[kind].expert,
          isOn,
        ),
      inputs: [
        { shape: [N, shape.H] },
        { shape: gateShape, low: -2, high: 2 },
        { shape: gateShape, low: -2, high: 2 },
        ...[...layer.parameters().values()].map(({ shape }) => ({ shape })),
      ],
      step: 1e-5,
      tolerance: 1e-5,
    });
  });
});

/** Runs a layer with random gates. */
async function run(layer: ReturnType<typeof make>, numTokens: number, mask?: ExpertMask): Promise<Float32Array> {
  const size = numTokens * shape.heads * layer.keysPerAxis;
  const gate = (seed: number) =>
    tensor(device, Float32Array.from(uniformArray(size, seed, -2, 2)), [numTokens, shape.heads, layer.keysPerAxis]);
  const { y } = scope(() => {
    const x = tensor(device, Float32Array.from(uniformArray(numTokens * layer.hiddenSize, 3)), [
      numTokens,
      layer.hiddenSize,
    ]);
    return { y: layer.forward(x, routingOf(gate(1), gate(2)), mask).read() };
  });
  return y;
}

describe.each(each)("%s experts", (kind) => {
  test("take one token, and none", async () => {
    using layer = make(kind).initialize(new RandomKey(1));
    expect((await run(layer, 1)).every(Number.isFinite)).toBe(true);
    expect(await run(layer, 0)).toHaveLength(0);
  });

  test("a token's output does not depend on its batch mates", async () => {
    using layer = make(kind).initialize(new RandomKey(1));
    const [one, many] = await Promise.all([run(layer, 1), run(layer, 9)]);
    expectClose("y", many.slice(0, shape.H), one, 1e-6);
  });

  test("all masked give nothing", async () => {
    using layer = make(kind).initialize(new RandomKey(1));
    using mask = new ExpertMask(device, shape.M, { rows: [0, 1, 2, 3] });
    expectClose("y", await run(layer, 3, mask), new Float32Array(3 * shape.H), 1e-7);
  });

  test("a mask goes through JSON and back", async () => {
    using layer = make(kind).initialize(new RandomKey(1));
    using mask = new ExpertMask(device, shape.M, { rows: [2], pairs: [[0, 3]] });
    using again = new ExpertMask(device, shape.M, JSON.parse(JSON.stringify(mask)));
    const [plain, y, z] = await Promise.all([run(layer, 3), run(layer, 3, mask), run(layer, 3, again)]);
    expect(z).toEqual(y);
    expect(y).not.toEqual(plain);
  });
});

describe("cost", () => {
  /** Floating-point operations that the kernels of one forward state. */
  async function flopsOf(kind: Kind, M: number): Promise<number> {
    using layer = new kinds[kind].Experts(device, { hiddenSize: 8, keysPerAxis: M, expertSize: 4 });
    layer.initialize(new RandomKey(1));
    const report = await profile(device, async () => {
      await run(layer as ReturnType<typeof make>, 4);
    });
    return report.kernels.reduce((sum, { gflops, ms }) => sum + gflops * ms * 1e6, 0);
  }

  test.each(each)("%s: grows with M, the root of the number of experts", async (kind) => {
    const [small, large] = [await flopsOf(kind, 32), await flopsOf(kind, 128)];
    // 16 times the experts, 4 times the work
    expect(large / small).toBeGreaterThan(3.5);
    expect(large / small).toBeLessThan(4.5);
  });

  test.each(each)("%s: 262,144 experts are 512 keys an axis, and parameters of as many half-experts", async (kind) => {
    using layer = new kinds[kind].Experts(device, { hiddenSize: 16, keysPerAxis: 512, expertSize: 8 });
    layer.initialize(new RandomKey(1));
    // Either way 2 · 16 · 8 · 512 weights, 8 · 512 biases inside and 16 · 512 outside.
    expect(layer.numParameters).toBe(512 * (2 * 16 * 8 + 8 + 16));
    expect((await run(layer as ReturnType<typeof make>, 2)).every(Number.isFinite)).toBe(true);
  });
});

test("what does not fit is an error", () => {
  expect(() => new VerticalExperts(device, { hiddenSize: 6, keysPerAxis: 4, expertSize: 5 })).toThrow(
    "VerticalExperts: hiddenSize and expertSize must be even, got 6 and 5 (moe_dim)",
  );
  expect(() => new HorizontalExperts(device, { hiddenSize: 6, keysPerAxis: 0, expertSize: 5 })).toThrow(
    "MonetExperts: sizes must be positive integers, got hiddenSize=6, keysPerAxis=0, expertSize=5",
  );
  expect(() => new ExpertMask(device, 4, { pairs: [[1, 4]] })).toThrow("ExpertMask: 4 is no key of an axis of 4");
  using layer = make("horizontal");
  const gates = () => tensor(device, new Float32Array(2 * 2 * 4), [2, 2, 4]);
  expect(() =>
    scope(() => layer.forward(tensor(device, new Float32Array(18), [3, 6]), routingOf(gates(), gates()))),
  ).toThrow("MonetExperts: x [3, 6] must be [N, 6], and gates [2, 2, 4] [N, heads, 4]");
});
