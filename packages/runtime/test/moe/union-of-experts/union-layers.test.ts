import { checkOp, expectClose, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import {
  type GateForm,
  type SelectionRule,
  UnionAttention,
  UnionExpertSelection,
  UnionFeedForward,
  unionAttentionFlops,
  unionFeedForwardFlops,
} from "../../../src/moe/index.ts";
import type { Module } from "../../../src/nn/index.ts";
import { rotaryTables, Tape } from "../../../src/ops/index.ts";
import { keep, RandomKey, scope, tensor } from "../../../src/tensor/index.ts";
import { moduleAsOp } from "../module-as-op.ts";
import {
  keptScores,
  largestCount,
  referenceAttention,
  referenceFeedForward,
  referenceSelection,
  type UnionShape,
} from "./union-reference.ts";

const device = await testDevice();

const [B, T, H, E, F] = [2, 7, 8, 4, 12];
const tables = rotaryTables(device, { maxPositions: 2 * T, dim: 4 });
const rotary = { cos: keep(tables.cos), sin: keep(tables.sin) };
const headShape: UnionShape = { B, T, H, E, topK: 2, part: 4 };

interface Options {
  gate?: GateForm;
  selection?: Partial<SelectionRule>;
  preNorm?: boolean;
  dropout?: number;
}
const mlp = (options: Options = {}) =>
  new UnionFeedForward(device, { hiddenSize: H, intermediateSize: F, numExperts: E, topK: 2, ...options });
const heads = (options: Options = {}) =>
  new UnionAttention(device, { hiddenSize: H, headDim: 4, numExperts: E, ...options });

const data = Float32Array.from(uniformArray(B * T * H, 21));
const input = (values = data) => tensor(device, values, [B, values.length / (B * H), H]);

/** x and every parameter; the gate's are large, so that a finite difference leaves the selection as it is. */
function inputsOf(layer: Module) {
  const ofParameter = ([name, { shape }]: [string, { shape: readonly number[] }]) =>
    name.startsWith("switch_gate") ? { shape, low: -2, high: 2 } : { shape };
  return [{ shape: [B, T, H], data }, ...[...layer.parameters()].map(ofParameter)];
}

const check = { step: 1e-5, tolerance: 4e-6 };

describe("outputs and gradients match float64", () => {
  test.each<[string, GateForm, number, number]>([
    ["the released gate", "none", 4, 2],
    ["a scaled gate", "scaled", 4, 2],
    ["one expert", "scaled", 1, 1],
    ["a token scoring for every expert", "scaled", 4, 4],
  ])("MLP, %s", async (_, gate, numExperts, topK) => {
    const shape = { B, T, H, E: numExperts, topK, part: F / numExperts };
    using layer = new UnionFeedForward(device, { hiddenSize: H, intermediateSize: F, numExperts, topK, gate });
    await checkOp(device, {
      op: moduleAsOp(layer, (x) => layer.forward(x).y),
      reference: (x, ...values) => {
        const kept = keptScores(x, values, shape);
        const factor = (n: number, e: number) => (gate === "scaled" ? (kept[n]?.[e] as number) : 1);
        const selection = referenceSelection(kept, shape, Math.floor(T / 2));
        return referenceFeedForward(x, values, shape, { selection, factor });
      },
      inputs: inputsOf(layer),
      ...check,
    });
  });

  test.each<GateForm>(["none", "scaled"])("attention, gate %s", async (gate) => {
    using layer = heads({ gate });
    await checkOp(device, {
      op: moduleAsOp(layer, (x) => layer.forward(x, rotary).y),
      reference: (x, ...values) => {
        const kept = keptScores(x, values, headShape);
        const factor = (n: number, e: number) => (gate === "scaled" ? (kept[n]?.[e] as number) : 1);
        const selection = referenceSelection(kept, headShape, largestCount(kept, headShape));
        return referenceAttention(x, values, headShape, { selection, factor });
      },
      inputs: inputsOf(layer),
      ...check,
    });
  });

  test("expert selection", async () => {
    const options = { hiddenSize: H, intermediateSize: F, numExperts: E, length: T, topK: 2 };
    using layer = new UnionExpertSelection(device, { ...options, gate: "scaled" });
    const shape = { B, T, H, E, topK: 2, part: F / E };
    const everyToken = Array.from({ length: E }, () => Array.from({ length: B }, () => [...Array(T).keys()]));
    await checkOp(device, {
      op: moduleAsOp(layer, (x) => layer.forward(x).y),
      reference: (x, ...values) => {
        const kept = keptScores(x, values, { ...shape, H: T * H }); // a sequence is one token to the gate
        const factor = (n: number, e: number) => kept[Math.floor(n / T)]?.[e] as number;
        return referenceFeedForward(x, values, shape, { selection: everyToken, factor });
      },
      inputs: inputsOf(layer),
      ...check,
    });
  });

  test("attention with a memory of which some slots stay empty", async () => {
    using layer = heads({ preNorm: true }).initialize(new RandomKey(3));
    const memory = Float32Array.from(uniformArray(B * 5 * H, 22));
    const values = await Promise.all([...layer.parameters().values()].map((parameter) => parameter.read()));
    const { y } = scope(() => ({ y: layer.forward(input(), { ...rotary, memory: input(memory) }).y.read() }));
    const choose = (x: Float32Array, length: number) => {
      const shape = { ...headShape, T: length };
      const kept = keptScores(x, values, shape);
      return referenceSelection(kept, shape, largestCount(kept, shape));
    };
    const ofMemory = choose(memory, 5);
    expect(ofMemory[0]?.[0]?.length).toBeLessThan(5);
    const run = { selection: choose(data, T), preNorm: true, memory: { values: memory, selection: ofMemory } };
    expectClose("y", await y, referenceAttention(data, values, headShape, run), 4e-6);
  });
});

/** Gradients of a random sum of y by parameter name. */
async function gradientsOf(layer: UnionFeedForward): Promise<Map<string, Float32Array | undefined>> {
  const parameters = layer.parameters();
  const reads = scope(() => {
    const tape = new Tape(parameters.values());
    const y = tape.run(() => layer.forward(input()).y);
    const found = tape.backward(y, tensor(device, Float32Array.from(uniformArray(y.size, 5)), y.shape));
    const reads = [...parameters].map(([name, parameter]) => [name, found.get(parameter)?.read()] as const);
    for (const gradient of found.values()) gradient.dispose();
    return reads;
  });
  return new Map(await Promise.all(reads.map(async ([name, gradient]) => [name, await gradient] as const)));
}

describe("the gate", () => {
  const GATE = "switch_gate.w_gate.weight";

  test("of the released form gets no gradient", async () => {
    using layer = mlp().initialize(new RandomKey(1));
    const gradients = await gradientsOf(layer);
    expect(gradients.get(GATE)).toBeUndefined();
    expect(gradients.get("linear1.weight.0")?.some((value) => value !== 0)).toBe(true);
  });

  test("straight-through has the outputs of the released form and a gradient", async () => {
    using plain = mlp().initialize(new RandomKey(1));
    using through = mlp({ gate: "straight-through" }).initialize(new RandomKey(1));
    const { reads } = scope(() => ({ reads: [plain, through].map((layer) => layer.forward(input()).y.read()) }));
    const [y, z] = await Promise.all(reads);
    expect(z).toEqual(y);
    expect((await gradientsOf(through)).get(GATE)?.some((value) => Math.abs(value) > 1e-6)).toBe(true);
  });
});

describe("later tokens", () => {
  /** Whether y before the last position depends on the last position, of which eight are tried. */
  async function leaks(selection: Partial<SelectionRule>): Promise<boolean> {
    using layer = heads({ selection, preNorm: true }).initialize(new RandomKey(1));
    const outputs = [...Array(8).keys()].map((seed) => {
      const changed = data.slice();
      const last = Float32Array.from(uniformArray(H, seed, -3, 3));
      for (let b = 0; b < B; b++) changed.set(last, (b * T + T - 1) * H);
      return scope(() => ({ y: layer.forward(input(changed), rotary).y.read() })).y;
    });
    const earlier = (y: Float32Array) => [0, 1].flatMap((b) => [...y.subarray(b * T * H, (b * T + T - 1) * H)]);
    const [first, ...others] = (await Promise.all(outputs)).map(earlier);
    return others.some((other) => other.some((value, i) => value !== first?.[i]));
  }

  test("decide about earlier ones in the released form", async () => {
    expect(await leaks({})).toBe(true);
    expect(await leaks({ tokensPerExpert: 3 })).toBe(true);
  });

  test("do not where a token's own top-k decides alone", async () => {
    expect(await leaks({ tokensPerExpert: "largest", fill: false })).toBe(false);
  });
});

describe("few tokens", () => {
  const run = (values: Float32Array<ArrayBuffer>, layer: UnionFeedForward) =>
    scope(() => ({ y: layer.forward(tensor(device, values, [1, values.length / H, H])).y.read() })).y;

  test("one token takes no part where half of them do", async () => {
    using layer = mlp({ preNorm: true }).initialize(new RandomKey(1)); // floor(1 / 2) = 0 tokens an expert
    expect(await run(data.slice(0, H), layer)).toEqual(data.slice(0, H));
  });

  test("no tokens give no outputs", async () => {
    using layer = mlp().initialize(new RandomKey(1));
    expect(await run(new Float32Array(0), layer)).toHaveLength(0);
  });

  test("a token that no expert took stays as it is", async () => {
    using layer = mlp({ preNorm: true, selection: { tokensPerExpert: 1 } }).initialize(new RandomKey(1));
    const { reads } = scope(() => {
      const { y, selection } = layer.forward(input());
      return { reads: [y.read(), selection.indices.read()] as const };
    });
    const [y, indices] = await Promise.all(reads);
    const taken = new Set(Array.from(indices, (t, i) => (i % B) * T + t));
    expect(taken.size).toBeLessThan(B * T);
    for (let n = 0; n < B * T; n++) {
      const [own, before] = [y.slice(n * H, (n + 1) * H), data.slice(n * H, (n + 1) * H)];
      if (taken.has(n)) expect(own).not.toEqual(before);
      else expect(own).toEqual(before);
    }
  });
});

test("permuting sequences permutes outputs", async () => {
  using layer = heads().initialize(new RandomKey(1));
  const swapped = Float32Array.from([...data.subarray(T * H), ...data.subarray(0, T * H)]);
  const { reads } = scope(() => ({ reads: [data, swapped].map((x) => layer.forward(input(x), rotary).y.read()) }));
  const [y, z] = (await Promise.all(reads)) as [Float32Array, Float32Array];
  expectClose("y", z, [...y.subarray(T * H), ...y.subarray(0, T * H)], 1e-6);
});

test("dropout works in training alone and repeats under a key", async () => {
  using layer = mlp({ dropout: 0.5 }).initialize(new RandomKey(1));
  const run = (context: { training?: boolean; key?: RandomKey }) =>
    scope(() => ({ y: layer.forward(input(), context).y.read() })).y;
  const key = new RandomKey(7);
  const training = { training: true, key };
  const [plain, first, again] = await Promise.all([run({ key }), run(training), run(training)]);
  expect(again).toEqual(first);
  expect(first).not.toEqual(plain);
  expect(() => run({ training: true })).toThrow("UnionFeedForward: dropout in training needs a key");
});

test("nothing is read back", async () => {
  using layer = heads().initialize(new RandomKey(1));
  await device.finish();
  const { reads } = device.counters;
  scope(() => {
    layer.forward(input(), rotary);
  });
  await device.finish();
  expect(device.counters.reads).toBe(reads);
});

test("half of the tokens take half of the dense MLP's flops and the gate's", () => {
  const size = { length: 8, tokensPerExpert: 4, hiddenSize: 16, numExperts: 4 };
  // 2 · 4 · 2 · 16 · 64 = 16384 and 2 · 8 · 16 · 4 = 1024 of 32768
  expect(unionFeedForwardFlops({ ...size, intermediateSize: 64 })).toEqual({ flops: 17_408, ofDense: 17_408 / 32_768 });
  // projections 2 · 4 · 4 · 16 · 16 = 8192, scores 4 · 16 · 16 = 1024, gate 1024; dense 16384 + 4096
  expect(unionAttentionFlops({ ...size, headDim: 4 })).toEqual({ flops: 10_240, ofDense: 0.5 });
});

test("sizes that do not fit are errors", () => {
  const options = { hiddenSize: 8, intermediateSize: 10, numExperts: 4, topK: 2 };
  expect(() => new UnionFeedForward(device, options)).toThrow("intermediateSize 10 does not divide among 4 experts");
  expect(() => new UnionAttention(device, { hiddenSize: 12, numExperts: 4 })).toThrow(
    "UnionAttention: the head size is 3, expected an even integer (hiddenSize 12, 4 heads)",
  );
  using layer = mlp();
  expect(() => scope(() => layer.forward(tensor(device, new Float32Array(16), [2, H])))).toThrow(
    "SwitchGate: needs x [B, T, H], got [2, 8]",
  );
});
