import { expectClose, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { KvCache } from "../../src/decode/index.ts";
import { DecoderBlock, SelfAttention, SwigluFeedForward } from "../../src/nn/index.ts";
import { rotaryTables } from "../../src/ops/index.ts";
import { keep, RandomKey, scope, type Tensor, tensor } from "../../src/tensor/index.ts";

const device = await testDevice();

type F32 = Tensor<"f32">;

const [B, T, H, A, D] = [2, 9, 16, 4, 4];
const options = { hiddenSize: H, numHeads: A };
const tables = rotaryTables(device, { maxPositions: 16, dim: D, theta: 10_000 });
const rotary = { cos: keep(tables.cos), sin: keep(tables.sin) };
const x = Float32Array.from(uniformArray(B * T * H, 1));
const run = (data: Float32Array<ArrayBuffer>, fn: (x: F32) => F32) =>
  scope(() => ({ y: fn(tensor(device, data, [B, data.length / (B * H), H])).read() })).y;

/** Positions of both batches from `start` to `end`. */
const positions = (data: Float32Array, start: number, end: number) =>
  Float32Array.from([0, 1].flatMap((b) => [...data.subarray((b * T + start) * H, (b * T + end) * H)]));

function block() {
  const layer = new DecoderBlock(device, { ...options, numKeyValueHeads: 2 }).initialize(new RandomKey(1));
  const feedForward = new SwigluFeedForward(device, { hiddenSize: H, intermediateSize: 12 }).initialize(
    new RandomKey(2),
  );
  return (x: F32) => layer.forward(x, rotary, (h) => feedForward.forward(h));
}

describe("a decoder block", () => {
  test("never lets a position see a later one", async () => {
    const forward = block();
    const changed = x.slice();
    for (const b of [0, 1]) changed.fill(3, (b * T + 5) * H, (b * T + 6) * H); // position 5 of each sequence
    const [y, z] = await Promise.all([run(x, forward), run(changed, forward)]);
    expect(y).toHaveLength(B * T * H);
    expect(positions(z, 0, 5)).toEqual(positions(y, 0, 5));
    for (const t of [5, 6, 8]) expect(positions(z, t, t + 1)).not.toEqual(positions(y, t, t + 1));
  });

  test("is the identity when attention and feed-forward give nothing", async () => {
    using layer = new DecoderBlock(device, options).initialize(new RandomKey(1));
    layer.attention.output.weight.write(new Float32Array(H * H));
    const nothing = () => tensor(device, new Float32Array(B * T * H), [B, T, H]);
    expect(await run(x, (x) => layer.forward(x, rotary, nothing))).toEqual(x);
  });

  test("shows its feed-forward the normalised sum of input and attention", async () => {
    using layer = new DecoderBlock(device, options).initialize(new RandomKey(1));
    layer.attention.output.weight.write(new Float32Array(H * H));
    const y = await run(x, (x) => layer.forward(x, rotary, (h) => h));
    const seen = await run(x, (x) => layer.postAttentionNorm.forward(x));
    expectClose(
      "y",
      y,
      x.map((value, i) => value + (seen[i] as number)),
      1e-6,
    );
  });
});

describe("self-attention", () => {
  test("shares key and value heads between neighbouring query heads", async () => {
    using grouped = new SelfAttention(device, { ...options, numKeyValueHeads: 2 }).initialize(new RandomKey(4));
    using full = new SelfAttention(device, options);
    const values = new Map(
      await Promise.all([...grouped.parameters()].map(async ([name, p]) => [name, await p.read()] as const)),
    );
    // Head h of four reads head h / 2 of two: each block of D rows twice.
    for (const name of ["k_proj.weight", "v_proj.weight"]) {
      const narrow = values.get(name) ?? new Float32Array(0);
      const head = (h: number) => [...narrow.subarray(h * D * H, (h + 1) * D * H)];
      values.set(name, Float32Array.from([0, 0, 1, 1].flatMap(head)));
    }
    full.load(values);
    const [y, z] = await Promise.all([grouped, full].map((layer) => run(x, (x) => layer.forward(x, rotary))));
    expectClose("y", y ?? [], z ?? [], 1e-6);
  });

  test("step by step with a cache is the same as all at once", async () => {
    using layer = new SelfAttention(device, { ...options, numKeyValueHeads: 2, queryKeyValueBias: true });
    layer.initialize(new RandomKey(5));
    using cache = new KvCache(device, { numLayers: 1, batchSize: B, capacity: T, numKeyValueHeads: 2, headDim: D });
    const whole = await run(x, (x) => layer.forward(x, rotary));
    for (const [start, end] of [
      [0, 4],
      [4, 5],
      [5, 9],
    ] as const) {
      const y = await run(positions(x, start, end), (x) => layer.forward(x, { ...rotary, cache: cache.layer(0) }));
      expectClose(`positions ${start} to ${end}`, y, positions(whole, start, end), 2e-6);
    }
  });

  test("padding on the left changes nothing for the others", async () => {
    using layer = new SelfAttention(device, options).initialize(new RandomKey(6));
    const mask = tensor(
      device,
      Float32Array.from({ length: B * T }, (_, i) => (i % T < 3 ? 0 : 1)),
      [B, T],
    );
    const other = x.slice();
    for (const b of [0, 1]) other.fill(-2, b * T * H, (b * T + 3) * H);
    const [y, z] = await Promise.all(
      [x, other].map((data) => run(data, (x) => layer.forward(x, { ...rotary, keyMask: mask }))),
    );
    expect(positions(z ?? new Float32Array(0), 3, T)).toEqual(positions(y ?? new Float32Array(0), 3, T));
  });

  test.each([
    [{ hiddenSize: 16, numHeads: 3 }, "hiddenSize 16 over 3 heads must give an even head size"],
    [{ hiddenSize: 12, numHeads: 4 }, "hiddenSize 12 over 4 heads must give an even head size"],
    [{ hiddenSize: 16, numHeads: 4, numKeyValueHeads: 3 }, "3 key/value heads must divide them"],
  ])("%j is refused", (options, message) => {
    expect(() => new SelfAttention(device, options)).toThrow(message);
  });
});
