import { checkOp, expectClose, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { KvCache } from "../../../src/decode/index.ts";
import {
  AttentionHeadExperts,
  MixtureOfAttention,
  MixtureOfAttentionHeads,
  type Routing,
  sparseRouting,
  stickBreakingAttention,
  TopKRouter,
} from "../../../src/moe/index.ts";
import { Linear, type Module, SelfAttention } from "../../../src/nn/index.ts";
import { rotaryTables, Tape, topK } from "../../../src/ops/index.ts";
import { keep, RandomKey, scope, type Tensor, tensor } from "../../../src/tensor/index.ts";
import { smallestGap } from "../layer-reference.ts";
import { moduleAsOp } from "../module-as-op.ts";
import { type HeadsShape, referenceHeads, referenceStick } from "./heads-reference.ts";

const device = await testDevice();

type F32 = Tensor<"f32">;

const [B, T] = [2, 6];
const base: HeadsShape = { B, T, H: 8, E: 4, K: 2, G: 2, D: 4, normalizeTopK: true, bias: true, stick: false };
const tables = rotaryTables(device, { maxPositions: 16, dim: base.D });
const rotary = { cos: keep(tables.cos), sin: keep(tables.sin) };

function headsOf({ H, E, K, G, D, normalizeTopK, bias, stick }: HeadsShape): MixtureOfAttentionHeads {
  const router = new TopKRouter(device, { hiddenSize: H, numExperts: E, topK: K, normalizeTopK });
  const experts = new AttentionHeadExperts(device, { router, headsPerExpert: G, headDim: D, bias });
  const keyValue = new Linear(device, { inFeatures: H, outFeatures: 2 * G * D });
  return new MixtureOfAttentionHeads(device, {
    experts,
    keyValue,
    ...(stick ? { attend: stickBreakingAttention } : {}),
  });
}

const forward =
  (layer: MixtureOfAttentionHeads, { stick }: HeadsShape) =>
  (x: F32) =>
    layer.forward(x, stick ? {} : { rotary }).y;

describe("MixtureOfAttentionHeads matches float64, and so do its gradients", () => {
  test.each<[string, Partial<HeadsShape>]>([
    ["JetMoE: softmax over the chosen logits, an output bias", {}],
    ["probabilities as they are, no bias", { normalizeTopK: false, bias: false }],
    [
      "ModuleFormer: broken sticks in place of softmax and positions",
      { stick: true, normalizeTopK: false, bias: false },
    ],
    ["one key/value head", { G: 1 }],
    ["every expert for every token: BAM over shared keys and values", { K: 4, normalizeTopK: false, bias: false }],
    ["one expert", { E: 1, K: 1 }],
    ["one token", { B: 1, T: 1 }],
  ])("%s", async (_, options) => {
    const c = { ...base, ...options };
    using layer = headsOf(c);
    // The router's weights are large, and the seed is the first whose choices no finite difference changes.
    const step = 1e-5;
    const draw = (seed: number) => ({
      x: uniformArray(c.B * c.T * c.H, seed),
      router: uniformArray(c.E * c.H, seed + 1, -2, 2),
    });
    const reference = { ...c, hiddenSize: c.H, numExperts: c.E, numTokens: c.B * c.T, topK: c.K };
    const gap = (seed: number) =>
      smallestGap(draw(seed).x, draw(seed).router, { ...reference, intermediateSize: 1, activation: "gelu" });
    const seed = c.E === 1 ? 0 : ([...Array(500).keys()].find((s) => gap(s) > 40 * step) ?? -1);
    expect(seed).toBeGreaterThanOrEqual(0);
    const { x, router } = draw(seed);
    await checkOp(device, {
      op: moduleAsOp(layer, forward(layer, c)),
      reference: (x, ...values) => referenceHeads(x, values, c),
      inputs: [
        { shape: [c.B, c.T, c.H], data: x },
        ...[...layer.parameters()].map(([name, { shape }]) =>
          name.endsWith("router.layer.weight") ? { shape, data: router } : { shape },
        ),
      ],
      step,
      tolerance: 4e-6,
    });
  });
});

const data = Float32Array.from(uniformArray(B * T * base.H, 9));
const input = (values = data, batch = B) => tensor(device, values, [batch, values.length / (batch * base.H), base.H]);
/** Positions `start` to `end` of every sequence. */
const positions = (values: Float32Array, start: number, end: number, length = T) =>
  Float32Array.from(
    Array.from({ length: B }, (_, b) => [
      ...values.subarray((b * length + start) * base.H, (b * length + end) * base.H),
    ]).flat(),
  );

describe("MixtureOfAttentionHeads", () => {
  test("decoding with a cache equals the whole sequence; the cache holds G heads whatever K is", async () => {
    using layer = headsOf(base).initialize(new RandomKey(1));
    const options = { numLayers: 1, batchSize: B, capacity: T, numKeyValueHeads: base.G, headDim: base.D };
    using cache = new KvCache(device, options);
    const { reads } = scope(() => {
      const step = (start: number, end: number) =>
        layer.forward(input(positions(data, start, end)), { rotary, cache: cache.layer(0) }).y.read();
      return { reads: [layer.forward(input(), { rotary }).y.read(), step(0, 4), step(4, 5), step(5, 6)] };
    });
    const [whole, ...steps] = (await Promise.all(reads)) as [Float32Array, ...Float32Array[]];
    for (const [i, [start, end]] of [
      [0, 4],
      [4, 5],
      [5, 6],
    ].entries())
      expectClose(`step ${i}`, steps[i] as Float32Array, positions(whole, start as number, end as number), 1e-6);
  });

  test("permuting experts together with router rows changes nothing", async () => {
    using layer = headsOf(base).initialize(new RandomKey(1));
    const before = await run(layer);
    for (const [name, parameter] of layer.parameters()) {
      if (parameter.axis(0) !== base.E || name === "experts.bias") continue;
      const values = await parameter.read();
      const size = values.length / base.E;
      parameter.write(Float32Array.from([2, 0, 3, 1].flatMap((e) => [...values.subarray(e * size, (e + 1) * size)])));
    }
    expectClose("y", await run(layer), before, 1e-6);
  });

  test("without output projections only the bias is left", async () => {
    using layer = headsOf(base).initialize(new RandomKey(1));
    const bias = Float32Array.from(uniformArray(base.H, 4));
    layer.experts.output.write(new Float32Array(layer.experts.output.size));
    layer.experts.bias?.write(bias);
    expect(await run(layer)).toEqual(Float32Array.from({ length: data.length }, (_, i) => bias[i % base.H] as number));
  });

  test("an expert that nobody chose gets gradient 0, the router gets one", async () => {
    const c = { ...base, E: 8, K: 1, normalizeTopK: false };
    using layer = headsOf(c).initialize(new RandomKey(2));
    const { query, router } = layer.experts;
    const weight = router.parameters().get("weight") as F32;
    const { reads } = scope(() => {
      const tape = new Tape([query, weight]);
      const { y, routing } = tape.run(() => layer.forward(input(), { rotary }));
      const found = tape.backward(y, input());
      return { reads: [found.get(query)?.read(), found.get(weight)?.read(), routing.plan.assignmentExpert.read()] };
    });
    const [ofQuery, ofRouter, chosen] = await Promise.all(reads);
    const size = query.size / c.E;
    const unused = [...Array(c.E).keys()].filter((e) => !chosen?.includes(e));
    expect(unused.length).toBeGreaterThan(0);
    for (const e of unused) expect(ofQuery?.slice(e * size, (e + 1) * size)).toEqual(new Float32Array(size));
    expect(ofRouter?.some((value) => Math.abs(value) > 1e-7)).toBe(true);
  });

  test("a padded key changes nothing for others", async () => {
    using layer = headsOf(base).initialize(new RandomKey(1));
    const keyMask = Float32Array.from({ length: B * T }, (_, i) => Number(i % T !== 1));
    const changed = data.map((value, i) => (Math.floor(i / base.H) % T === 1 ? 3 : value));
    const { reads } = scope(() => ({
      reads: [data, changed].map((x) =>
        layer.forward(input(x), { rotary, keyMask: tensor(device, keyMask, [B, T]) }).y.read(),
      ),
    }));
    const [y, z] = (await Promise.all(reads)) as [Float32Array, Float32Array];
    expect(positions(z, 2, T)).toEqual(positions(y, 2, T));
  });

  test("no tokens give no outputs", async () => {
    using layer = headsOf(base).initialize(new RandomKey(1));
    const { y } = scope(() => ({ y: layer.forward(input(new Float32Array(0)), { rotary }).y.read() }));
    expect(await y).toHaveLength(0);
  });

  test("parameters have JetMoE's names", () => {
    using layer = headsOf(base);
    expect([...layer.parameters().keys()].sort()).toEqual([
      "experts.bias",
      "experts.input_linear.weight",
      "experts.output_linear.weight",
      "experts.router.layer.weight",
      "kv_proj.weight",
    ]);
  });

  test("a router that gives tokens more or fewer than topK assignments is an error", () => {
    class OneChoice extends TopKRouter {
      override route(x: F32): Routing<undefined> {
        const { probs, logits } = super.route(x);
        const { values, indices } = topK(probs, 1);
        return sparseRouting({ indices, weights: values, probs, logits });
      }
    }
    const router = new OneChoice(device, { hiddenSize: base.H, numExperts: base.E, topK: 2 });
    using experts = new AttentionHeadExperts(device, { router, headsPerExpert: 2, headDim: 4 });
    expect(() => scope(() => experts.queries(tensor(device, data, [B * T, base.H])))).toThrow(
      "AttentionHeadExperts: the router made 12 assignments of 12 tokens, expected 2 for each",
    );
  });

  test("a projection that does not fit is an error", () => {
    const router = new TopKRouter(device, { hiddenSize: 8, numExperts: 4, topK: 2 });
    const experts = new AttentionHeadExperts(device, { router, headsPerExpert: 2, headDim: 4 });
    const keyValue = new Linear(device, { inFeatures: 8, outFeatures: 12 });
    expect(() => new MixtureOfAttentionHeads(device, { experts, keyValue })).toThrow(
      "MixtureOfAttentionHeads: kv_proj.weight has shape [12, 8], expected [16, 8]",
    );
  });
});

function run(layer: MixtureOfAttentionHeads): Promise<Float32Array> {
  return scope(() => ({ y: layer.forward(input(), { rotary }).y.read() })).y;
}

describe("stickBreakingAttention", () => {
  const c = { B, T, A: 4, Akv: 2, D: 3 };
  const shape = [B, T, c.A, c.D];
  const keyShape = [B, T, c.Akv, c.D];

  test.each([undefined, [1, 1, 0, 1, 1, 1, /* second */ 0, 0, 1, 1, 1, 1]])(
    "matches float64, mask %o",
    async (mask) => {
      const keyMask = mask && keep(tensor(device, mask, [B, T]));
      await checkOp(device, {
        op: (q, k, v) => stickBreakingAttention(q as F32, k as F32, v as F32, { keyMask }),
        reference: (q, k, v) => referenceStick(q as Float64Array, k as Float64Array, v as Float64Array, { ...c, mask }),
        inputs: [{ shape, low: -2, high: 2 }, { shape: keyShape, low: -2, high: 2 }, { shape: keyShape }],
      });
      keyMask?.dispose();
    },
  );

  test("weights add up to at most 1: the rest of the stick is dropped", async () => {
    const { y } = scope(() => {
      const of = (seed: number, shape: number[]) =>
        tensor(
          device,
          Float32Array.from(
            uniformArray(
              shape.reduce((a, b) => a * b),
              seed,
              -3,
              3,
            ),
          ),
          shape,
        );
      const values = tensor(device, new Float32Array(B * T * c.Akv * c.D).fill(1), keyShape);
      return { y: stickBreakingAttention(of(1, shape), of(2, keyShape), values).read() };
    });
    const totals = [...(await y)];
    expect(Math.min(...totals)).toBeGreaterThan(0);
    expect(Math.max(...totals)).toBeLessThan(1 + 1e-6);
    expect(totals.filter((total) => total < 0.99).length).toBeGreaterThan(10);
  });

  test("large scores stay finite", async () => {
    const { y } = scope(() => {
      const of = (value: number, shape: number[]) =>
        tensor(device, new Float32Array(shape.reduce((a, b) => a * b)).fill(value), shape);
      return { y: stickBreakingAttention(of(40, shape), of(40, keyShape), of(1, keyShape)).read() };
    });
    for (const total of await y) expect(total).toBeCloseTo(1, 6); // the query's own key takes the whole stick
  });

  test("what it cannot do is an error", () => {
    const x = tensor(device, new Float32Array(12), [1, 2, 2, 3]);
    expect(() => stickBreakingAttention(x, x, x, { slidingWindow: 2 })).toThrow("stickBreakingAttention: is causal");
  });
});

describe("MixtureOfAttention", () => {
  const [H, E] = [8, 3];
  const attentionOf = () => new SelfAttention(device, { hiddenSize: H, numHeads: 2, numKeyValueHeads: 1 });
  const mixture = (topK: number) => {
    const router = new TopKRouter(device, { hiddenSize: H, numExperts: E, topK });
    return new MixtureOfAttention(device, { router, experts: Array.from({ length: E }, attentionOf) });
  };
  const copyInto = async (from: Module, to: Module) => {
    const values = new Map<string, Float32Array<ArrayBuffer>>();
    for (const [name, parameter] of from.parameters()) values.set(name, await parameter.read());
    to.load(values);
  };
  const runMixture = (layer: MixtureOfAttention) => scope(() => ({ y: layer.forward(input(), rotary).y.read() })).y;

  test("of equal experts, softly routed, is one of them", async () => {
    using layer = mixture(E).initialize(new RandomKey(3));
    using dense = attentionOf().initialize(new RandomKey(4));
    for (const expert of layer.experts) await copyInto(dense, expert);
    const { y } = scope(() => ({ y: dense.forward(input(), rotary).read() }));
    expectClose("y", await runMixture(layer), await y, 1e-6);
  });

  test("with a sure router is the expert that it is sure of", async () => {
    using layer = mixture(E).initialize(new RandomKey(3));
    const weight = layer.router.parameters().get("weight");
    const constant = data.map((value, i) => (i % H === 0 ? 1 : value)); // the first element is 1 in every token
    weight?.write(Float32Array.from({ length: E * H }, (_, i) => (i === H ? 50 : 0))); // logit 50 for expert 1
    const { reads } = scope(() => ({
      reads: [layer.forward(input(constant), rotary).y, layer.experts[1]?.forward(input(constant), rotary)].map((y) =>
        y?.read(),
      ),
    }));
    const [y, expected] = await Promise.all(reads);
    expectClose("y", y ?? [], expected ?? [], 1e-6);
  });

  test.each([1, 2])("with K = %d adds the chosen experts, weighed by their probabilities", async (topK) => {
    using layer = mixture(topK).initialize(new RandomKey(3));
    const { reads } = scope(() => {
      const { y, routing } = layer.forward(input(), rotary);
      const experts = layer.experts.map((expert) => expert.forward(input(), rotary).read());
      return { reads: [y.read(), routing.probs.read(), ...experts] };
    });
    const [y, probs, ...experts] = (await Promise.all(reads)) as Float32Array[];
    const expected = Float32Array.from(data, (_, i) => {
      const own = probs?.slice(Math.floor(i / H) * E, (Math.floor(i / H) + 1) * E) ?? new Float32Array(E);
      const least = own.toSorted().at(-topK) as number;
      return own.reduce((sum, p, e) => sum + (p >= least ? p * (experts[e]?.[i] as number) : 0), 0);
    });
    expectClose("y", y ?? [], expected, 1e-6);
  });

  test("every expert's keys and the router get a gradient", async () => {
    using layer = mixture(E).initialize(new RandomKey(3));
    const parameters = [...layer.parameters()];
    const { reads } = scope(() => {
      const tape = new Tape(parameters.map(([, parameter]) => parameter));
      const { y } = tape.run(() => layer.forward(input(), rotary));
      const found = tape.backward(y, input());
      return { reads: parameters.map(([name, parameter]) => [name, found.get(parameter)?.read()] as const) };
    });
    for (const [name, gradient] of reads)
      expect([name, (await gradient)?.some((value) => value !== 0)]).toEqual([name, true]);
  });

  test("gradients match finite differences of the layer itself", async () => {
    using layer = mixture(E).initialize(new RandomKey(5));
    const weight = layer.router.parameters().get("weight") as F32;
    const direction = Float32Array.from(uniformArray(weight.size, 6));
    const values = await weight.read();
    const at = async (step: number) => {
      weight.write(values.map((value, i) => value + step * (direction[i] as number)));
      const y = await runMixture(layer);
      return y.reduce((sum, value, i) => sum + value * (data[i] as number), 0);
    };
    const difference = ((await at(0.05)) - (await at(-0.05))) / 0.1;
    weight.write(values);
    const { gradient } = scope(() => {
      const tape = new Tape([weight]);
      const { y } = tape.run(() => layer.forward(input(), rotary));
      return { gradient: tape.backward(y, input()).get(weight)?.read() };
    });
    const derivative = ((await gradient) ?? new Float32Array(0)).reduce(
      (sum, g, i) => sum + g * (direction[i] as number),
      0,
    );
    expect(Math.abs(derivative)).toBeGreaterThan(1e-5);
    expect(Math.abs(derivative - difference) / Math.abs(difference)).toBeLessThan(0.02);
  });

  test("decoding with a cache an expert equals the whole sequence", async () => {
    using layer = mixture(E).initialize(new RandomKey(3));
    using cache = new KvCache(device, { numLayers: E, batchSize: B, capacity: T, numKeyValueHeads: 1, headDim: 4 });
    const caches = layer.experts.map((_, e) => cache.layer(e));
    const { reads } = scope(() => {
      const step = (start: number, end: number) =>
        layer.forward(input(positions(data, start, end)), { ...rotary, caches }).y.read();
      return { reads: [layer.forward(input(), rotary).y.read(), step(0, 5), step(5, 6)] };
    });
    const [whole, first, last] = (await Promise.all(reads)) as [Float32Array, Float32Array, Float32Array];
    expectClose("prefill", first, positions(whole, 0, 5), 1e-6);
    expectClose("step", last, positions(whole, 5, 6), 1e-6);
  });

  test("experts that do not fit the router are an error", () => {
    const router = new TopKRouter(device, { hiddenSize: H, numExperts: 2, topK: 1 });
    expect(() => new MixtureOfAttention(device, { router, experts: [attentionOf()] })).toThrow(
      "MixtureOfAttention: the router chooses among 2 experts, there are 1",
    );
  });
});
