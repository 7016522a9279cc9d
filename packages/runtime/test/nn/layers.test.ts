import { expectClose, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { Embedding, LayerNorm, Linear, RmsNorm, SwigluFeedForward } from "../../src/nn/index.ts";
import { RandomKey, scope, type Tensor, tensor } from "../../src/tensor/index.ts";
import { feedForward, rowsOf, times } from "../moe/layer-reference.ts";

const device = await testDevice();

const x = uniformArray(2 * 5 * 6, 1, -3, 5);
const input = () => tensor(device, Float32Array.from(x), [2, 5, 6]);
const forward = (part: { forward(x: Tensor<"f32">): Tensor<"f32"> }) =>
  scope(() => {
    const y = part.forward(input());
    return { shape: y.shape, values: y.read() };
  });

test("Linear is x Wᵀ + b over the last axis", async () => {
  using layer = new Linear(device, { inFeatures: 6, outFeatures: 4, bias: true });
  const [weight, bias] = [uniformArray(24, 2), uniformArray(4, 3)];
  layer.load(
    new Map([
      ["weight", Float32Array.from(weight)],
      ["bias", Float32Array.from(bias)],
    ]),
  );
  const { shape, values } = forward(layer);
  expect(shape).toEqual([2, 5, 4]);
  const expected = rowsOf(x, 6).flatMap((row) => times(weight, 0, 4, row).map((y, o) => y + (bias[o] as number)));
  expectClose("y", await values, expected, 2e-6);
});

describe("norms", () => {
  test("rows of a new RmsNorm have a mean square of 1", async () => {
    using layer = new RmsNorm(device, 6).initialize(new RandomKey(0));
    for (const row of rowsOf(await forward(layer).values, 6))
      expect(row.reduce((sum, y) => sum + y * y, 0) / 6).toBeCloseTo(1, 5);
  });

  test("rows of a LayerNorm have the mean of its bias and the spread of its weight", async () => {
    using layer = new LayerNorm(device, 6);
    layer.load(
      new Map([
        ["weight", new Float32Array(6).fill(2)],
        ["bias", new Float32Array(6).fill(7)],
      ]),
    );
    for (const row of rowsOf(await forward(layer).values, 6)) {
      expect(row.reduce((sum, y) => sum + y, 0) / 6).toBeCloseTo(7, 4);
      expect(row.reduce((sum, y) => sum + (y - 7) ** 2, 0) / 6).toBeCloseTo(4, 3);
    }
  });

  test("epsilon is added to the variance", async () => {
    // x = (3, -3): mean square 9, with epsilon 7 the divisor is 4.
    using layer = new RmsNorm(device, 2, 7).initialize(new RandomKey(0));
    const { y } = scope(() => ({ y: layer.forward(tensor(device, [3, -3], [1, 2])).read() }));
    expectClose("y", await y, [0.75, -0.75], 1e-6);
  });
});

test("SwigluFeedForward is W_down (silu(W_gate x) · W_up x)", async () => {
  using layer = new SwigluFeedForward(device, { hiddenSize: 6, intermediateSize: 7 });
  const [gate, up, down] = [4, 5, 6].map((seed) => uniformArray(42, seed)) as [
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  const values = new Map(
    Object.entries({ gate_proj: gate, up_proj: up, down_proj: down }).map(([name, data]) => [
      `${name}.weight`,
      Float32Array.from(data),
    ]),
  );
  layer.load(values);
  const { shape, values: y } = forward(layer);
  expect(shape).toEqual([2, 5, 6]);
  const expected = rowsOf(x, 6).flatMap((row) => feedForward(row, { gate, up, down, size: 7 }));
  expectClose("y", await y, expected, 3e-6);
});

test("Embedding gives each id its vector, and zeros for an id beyond the last", async () => {
  using layer = new Embedding(device, { numEmbeddings: 3, hiddenSize: 2 });
  layer.weight.write(Float32Array.of(1, 2, 3, 4, 5, 6));
  const y = layer.forward(tensor(device, Uint32Array.of(2, 0, 2, 3), [2, 2]));
  expect(y.shape).toEqual([2, 2, 2]);
  expect([...(await y.read())]).toEqual([5, 6, 1, 2, 5, 6, 0, 0]);
});
