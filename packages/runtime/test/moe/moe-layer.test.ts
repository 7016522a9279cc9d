import { checkOp, expectClose, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { MlpExperts, MoeLayer, SwigluExperts, TopKRouter } from "../../src/moe/index.ts";
import { Linear, SwigluFeedForward } from "../../src/nn/index.ts";
import { Tape } from "../../src/ops/index.ts";
import { RandomKey, scope, tensor } from "../../src/tensor/index.ts";
import { type LayerWeights, type ReferenceLayer, referenceLayer, smallestGap } from "./layer-reference.ts";
import { moduleAsOp } from "./module-as-op.ts";

const device = await testDevice();

interface LayerCase extends ReferenceLayer {
  sharedSize?: number;
  capacityFactor?: number;
}

function layerOf(c: LayerCase): MoeLayer {
  const { hiddenSize, intermediateSize, numExperts, topK, normalizeTopK = false, sharedSize } = c;
  const Experts = c.activation === "swiglu" ? SwigluExperts : MlpExperts;
  return new MoeLayer(device, {
    router: new TopKRouter(device, {
      hiddenSize,
      numExperts,
      topK,
      normalizeTopK,
      ...(c.capacityFactor === undefined ? {} : { capacityFactor: c.capacityFactor }),
    }),
    experts: new Experts(device, { hiddenSize, intermediateSize, numExperts }),
    ...(sharedSize
      ? {
          sharedExpert: new SwigluFeedForward(device, { hiddenSize, intermediateSize: sharedSize }),
          sharedExpertGate: new Linear(device, { inFeatures: hiddenSize, outFeatures: 1 }),
        }
      : {}),
  });
}

/** Arrays in the order of `layer.parameters()` as the reference names them. */
function weightsOf([router, ...rest]: Float64Array[], { activation, sharedSize: size }: LayerCase): LayerWeights {
  const bank = rest.splice(0, activation === "swiglu" ? 3 : 2);
  const [down, up, gate] = bank.reverse() as [Float64Array, Float64Array, Float64Array | undefined];
  const weights = { router: router as Float64Array, up, down, ...(gate ? { gate } : {}) };
  if (!size) return weights;
  const [sharedGateProj, sharedUp, sharedDown, sharedGate] = rest as [
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  return { ...weights, shared: { gate: sharedGateProj, up: sharedUp, down: sharedDown, size, sharedGate } };
}

async function checkLayer(c: LayerCase): Promise<void> {
  using layer = layerOf(c);
  const { numTokens, hiddenSize, numExperts, mask } = c;
  const parameters = [...layer.parameters().values()];
  // The router's weights are large, so that choices are clear, and the seed is the first whose choices are clear enough.
  const step = 1e-5;
  const draw = (seed: number) => ({
    x: uniformArray(numTokens * hiddenSize, seed),
    router: uniformArray(numExperts * hiddenSize, seed + 1, -2, 2),
  });
  const seed = [...Array(500).keys()].find((s) => smallestGap(draw(s).x, draw(s).router, c) > 40 * step) ?? -1;
  expect(seed).toBeGreaterThanOrEqual(0);
  const { x, router } = draw(seed);
  await checkOp(device, {
    op: moduleAsOp(layer, (x) => layer.forward(x, { mask: mask && tensor(device, mask) }).y),
    reference: (x, ...weights) => referenceLayer(x, weightsOf(weights, c), c),
    inputs: [
      { shape: [numTokens, hiddenSize], data: x },
      { shape: [numExperts, hiddenSize], data: router },
      ...parameters.slice(1).map(({ shape }) => ({ shape })),
    ],
    step,
    tolerance: 4e-6,
  });
}

const base = { numTokens: 13, hiddenSize: 6, intermediateSize: 5, numExperts: 4, topK: 2 };

describe("MoeLayer matches float64, and so do the gradients of its input and of every weight", () => {
  test.each<[string, LayerCase]>([
    ["SwiGLU experts", { ...base, activation: "swiglu" }],
    ["GELU experts", { ...base, activation: "gelu" }],
    ["renormalised weights", { ...base, activation: "swiglu", normalizeTopK: true }],
    ["a gated shared expert", { ...base, activation: "swiglu", sharedSize: 7 }],
    [
      "sizes of whole quads",
      { ...base, hiddenSize: 8, intermediateSize: 12, activation: "swiglu", normalizeTopK: true },
    ],
    // C = ceil(0.5 · 13 · 2 / 4) = 4 of 6.5 rows on average
    ["capacity that drops", { ...base, activation: "swiglu", capacityFactor: 0.5, capacity: 4 }],
    ["padding", { ...base, activation: "gelu", mask: [1, 1, 0, 1, 0, 0, 1, 1, 1, 1, 1, 0, 1] }],
    ["one token", { ...base, numTokens: 1, activation: "swiglu" }],
    ["one expert", { ...base, numExperts: 1, topK: 1, activation: "swiglu" }],
    ["every expert for every token", { ...base, topK: 4, activation: "gelu", normalizeTopK: true }],
    ["many experts, most without a token", { ...base, numTokens: 3, numExperts: 16, activation: "swiglu" }],
  ])("%s", async (_, c) => {
    await checkLayer(c);
  });
});

describe("MoeLayer", () => {
  const c: LayerCase = { ...base, numTokens: 200, hiddenSize: 12, numExperts: 9, activation: "swiglu", sharedSize: 8 };

  test("permuting tokens permutes outputs, bit for bit", async () => {
    using layer = layerOf(c).initialize(new RandomKey(3));
    const { numTokens: N, hiddenSize: H } = c;
    const x = Float32Array.from(uniformArray(N * H, 4));
    const order = Array.from({ length: N }, (_, n) => (n * 77 + 5) % N);
    const permuted = Float32Array.from(
      { length: N * H },
      (_, i) => x[(order[Math.floor(i / H)] ?? 0) * H + (i % H)] ?? 0,
    );
    const { reads } = scope(() => ({
      reads: [x, permuted].map((data) => layer.forward(tensor(device, data, [N, H])).y.read()),
    }));
    const [y, z] = (await Promise.all(reads)) as [Float32Array, Float32Array];
    expect(z).toEqual(y.map((_, i) => y[(order[Math.floor(i / H)] ?? 0) * H + (i % H)] ?? 0));
  });

  test("no tokens give no outputs, and zero gradients", async () => {
    using layer = layerOf(c).initialize(new RandomKey(3));
    const parameters = layer.parameters();
    const { y, gradients } = scope(() => {
      const x = tensor(device, new Float32Array(0), [2, 0, 12]);
      const tape = new Tape([x, ...parameters.values()]);
      const { y } = tape.run(() => layer.forward(x));
      const found = tape.backward(y, tensor(device, new Float32Array(0), [2, 0, 12]));
      expect(y.shape).toEqual([2, 0, 12]);
      expect(found.get(x)?.shape).toEqual([2, 0, 12]);
      const gradients = [...parameters].map(([name, parameter]) => ({ name, read: found.get(parameter)?.read() }));
      for (const gradient of found.values()) gradient.dispose();
      return { y: y.read(), gradients };
    });
    expect((await y).length).toBe(0);
    for (const { name, read } of gradients)
      expectClose(name, (await read) ?? [], new Float64Array(parameters.get(name)?.size ?? 0), 0);
  });

  test("a step leaves nothing in memory but its gradients", () => {
    using layer = layerOf(c).initialize(new RandomKey(3));
    const before = device.memory.use.inUseBytes;
    scope(() => {
      const x = tensor(device, Float32Array.from(uniformArray(c.numTokens * c.hiddenSize, 4)), [
        c.numTokens,
        c.hiddenSize,
      ]);
      const tape = new Tape(layer.parameters().values());
      const { y } = tape.run(() => layer.forward(x));
      const gradients = tape.backward(y, x);
      expect(gradients.size).toBe(layer.parameters().size);
      for (const gradient of gradients.values()) gradient.dispose();
    });
    expect(device.memory.use.inUseBytes).toBe(before);
  });

  test("leading axes are kept", () => {
    using layer = layerOf({ ...base, activation: "gelu" });
    const { shape } = scope(() => layer.forward(tensor(device, new Float32Array(2 * 3 * 6), [2, 3, 6])).y);
    expect(shape).toEqual([2, 3, 6]);
  });

  test("parameters have the names of published checkpoints", () => {
    using layer = layerOf(c);
    expect([...layer.parameters().keys()]).toEqual([
      "gate.weight",
      "experts.gate_proj",
      "experts.up_proj",
      "experts.down_proj",
      "shared_expert.gate_proj.weight",
      "shared_expert.up_proj.weight",
      "shared_expert.down_proj.weight",
      "shared_expert_gate.weight",
    ]);
  });

  test("parts that do not fit together are errors", () => {
    const router = new TopKRouter(device, { hiddenSize: 6, numExperts: 4, topK: 2 });
    const experts = new MlpExperts(device, { hiddenSize: 6, intermediateSize: 5, numExperts: 3 });
    expect(() => new MoeLayer(device, { router, experts })).toThrow(
      "MoeLayer: the router chooses among 4 experts of width 6, the bank has 3 of width 6",
    );
    expect(() => new TopKRouter(device, { hiddenSize: 6, numExperts: 4, topK: 5 })).toThrow(
      "router: need 1 ≤ topK ≤ numExperts, got topK=5, numExperts=4",
    );
    using layer = layerOf({ ...base, activation: "gelu" });
    expect(() => layer.forward(tensor(device, new Float32Array(10), [2, 5]))).toThrow(
      "MoeLayer: x [2, 5] must end in hiddenSize 6",
    );
  });
});

test("without a tape a layer takes six dispatches and reads nothing back", async () => {
  const layer = layerOf({
    numTokens: 5,
    hiddenSize: 8,
    intermediateSize: 12,
    numExperts: 4,
    topK: 2,
    activation: "swiglu",
    normalizeTopK: true,
  });
  const x = tensor(device, Float32Array.from(uniformArray(5 * 8, 3)), [5, 8]);
  await device.finish();
  const { dispatches, reads } = device.counters;
  scope(() => {
    layer.forward(x);
  });
  await device.finish();
  expect(device.counters.dispatches - dispatches).toBe(6);
  expect(device.counters.reads).toBe(reads);
});

test.each([1, 3, 300])(
  "%i tokens through banks stored as bf16 give what the rounded weights give in f32",
  async (n) => {
    const sizes = { hiddenSize: 36, intermediateSize: 40, numExperts: 4 };
    const make = () =>
      new MoeLayer(device, {
        router: new TopKRouter(device, { ...sizes, topK: 2 }),
        experts: new SwigluExperts(device, sizes),
      }).initialize(new RandomKey(3));
    using narrow = make();
    using wide = make();
    await narrow.storeMatrices("bf16");
    for (const [name, parameter] of wide.parameters())
      parameter.write(await (narrow.parameters().get(name) as typeof parameter).read());
    const x = tensor(device, Float32Array.from(uniformArray(n * sizes.hiddenSize, 6)), [n, sizes.hiddenSize]);
    const [y, expected] = await Promise.all([narrow, wide].map((layer) => scope(() => layer.forward(x).y).read()));
    expectClose("y", y as Float32Array, Float64Array.from(expected as Float32Array), 1e-6);
  },
);
