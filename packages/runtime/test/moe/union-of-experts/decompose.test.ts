import { expectClose, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import {
  composeAttention,
  composeFeedForward,
  type DenseLinear,
  decomposeAttention,
  decomposeFeedForward,
  UnionAttention,
  UnionExpertSelection,
  UnionFeedForward,
} from "../../../src/moe/index.ts";
import type { Module } from "../../../src/nn/index.ts";
import { add, attention, gelu, linear, reshape, rotary, rotaryTables } from "../../../src/ops/index.ts";
import { RandomKey, scope, type Tensor, tensor } from "../../../src/tensor/index.ts";

const device = await testDevice();

type F32 = Tensor<"f32">;

const [B, T, H, F, E] = [2, 7, 8, 12, 4];

function dense(outFeatures: number, inFeatures: number, seed: number): DenseLinear {
  return {
    weight: Float32Array.from(uniformArray(outFeatures * inFeatures, seed)),
    bias: Float32Array.from(uniformArray(outFeatures, seed + 1)),
  };
}

const apply = (x: F32, { weight, bias }: DenseLinear) =>
  linear(x, tensor(device, weight, [bias.length, weight.length / bias.length]), tensor(device, bias));

const mlp = { up: dense(F, H, 1), down: dense(H, F, 3) };
const heads = { query: dense(H, H, 5), key: dense(H, H, 7), value: dense(H, H, 9), output: dense(H, H, 11) };
const input = () => tensor(device, Float32Array.from(uniformArray(B * T * H, 13)), [B, T, H]);

/** Initial values with the decomposed ones in their places. */
async function load(layer: Module, parts: ReadonlyMap<string, Float32Array<ArrayBuffer>>): Promise<void> {
  layer.initialize(new RandomKey(1));
  const values = new Map<string, Float32Array<ArrayBuffer>>();
  for (const [name, parameter] of layer.parameters()) values.set(name, parts.get(name) ?? (await parameter.read()));
  layer.load(values);
}

async function expectSame(ours: () => F32, reference: () => F32): Promise<void> {
  const { a, b } = scope(() => ({ a: ours().read(), b: reference().read() }));
  expectClose("y", await a, await b, 1e-6);
}

const denseMlp = (x: F32) => add(x, apply(gelu(apply(x, mlp.up)), mlp.down));

describe("the experts' sum is the dense block when all of them take all tokens", () => {
  test("MLP, by data selection", async () => {
    using layer = new UnionFeedForward(device, {
      hiddenSize: H,
      intermediateSize: F,
      numExperts: E,
      topK: 2,
      selection: { tokensPerExpert: T },
      preNorm: true,
    });
    await load(layer, decomposeFeedForward(mlp, E));
    await expectSame(
      () => layer.forward(input()).y,
      () => denseMlp(input()),
    );
  });

  test("MLP, by expert selection", async () => {
    const options = { hiddenSize: H, intermediateSize: F, numExperts: E, length: T, preNorm: true };
    using layer = new UnionExpertSelection(device, { ...options, topK: E });
    await load(layer, decomposeFeedForward(mlp, E));
    await expectSame(
      () => layer.forward(input()).y,
      () => denseMlp(input()),
    );
  });

  test.each([true, false])("attention, causal %s", async (causal) => {
    const options = { hiddenSize: H, numExperts: E, selection: { tokensPerExpert: T }, causal, preNorm: true };
    using layer = new UnionAttention(device, options);
    await load(layer, decomposeAttention(heads, E));
    const { cos, sin } = rotaryTables(device, { maxPositions: T, dim: H / E });
    const denseAttention = (x: F32) => {
      const project = (part: DenseLinear) => reshape(apply(x, part), [B, T, E, H / E]);
      const [q, k] = [rotary(project(heads.query), cos, sin), rotary(project(heads.key), cos, sin)];
      return add(x, apply(reshape(attention(q, k, project(heads.value), { causal }), [B, T, H]), heads.output));
    };
    await expectSame(
      () => layer.forward(input(), { cos, sin }).y,
      () => denseAttention(input()),
    );
  });
});

describe("composing undoes decomposing", () => {
  test("of an MLP", () => {
    const { up, down } = composeFeedForward(decomposeFeedForward(mlp, E), E);
    expect(up).toEqual(mlp.up);
    expect(down.weight).toEqual(mlp.down.weight);
    expectClose("bias", down.bias, mlp.down.bias, 1e-7);
  });

  test("of attention", () => {
    const back = composeAttention(decomposeAttention(heads, E), E);
    for (const name of ["query", "key", "value"] as const) expect(back[name]).toEqual(heads[name]);
    expect(back.output.weight).toEqual(heads.output.weight);
    expectClose("bias", back.output.bias, heads.output.bias, 1e-7);
  });
});

test("hidden units that do not divide are an error", () => {
  expect(() => decomposeFeedForward(mlp, 5)).toThrow("decompose: 12 outputs do not divide among 5 experts");
});
