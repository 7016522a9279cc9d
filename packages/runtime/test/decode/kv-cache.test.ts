import { expectClose, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { KvCache } from "../../src/decode/index.ts";
import { ShapeError, ValueError } from "../../src/device/index.ts";
import { attention } from "../../src/ops/attention.ts";
import { slice } from "../../src/ops/layout.ts";
import { sizeOf, type Tensor, tensor } from "../../src/tensor/index.ts";

const device = await testDevice();
const [B, A, Akv, D, capacity] = [2, 4, 2, 12, 50] as const;
const random = (shape: number[], seed: number) =>
  tensor(device, Float32Array.from(uniformArray(sizeOf(shape), seed)), shape);
const newCache = (numLayers = 1) =>
  new KvCache(device, { numLayers, batchSize: B, capacity, numKeyValueHeads: Akv, headDim: D });
/** q, k, v of a sequence of T positions. */
const sequence = (T: number, seed = 1): [Tensor<"f32">, Tensor<"f32">, Tensor<"f32">] => [
  random([B, T, A, D], seed),
  random([B, T, Akv, D], seed + 1),
  random([B, T, Akv, D], seed + 2),
];
const rows = <T extends "f32">(x: Tensor<T>, start: number, length: number) => slice(x, 1, start, length);

/** Attention over a sequence that arrives in pieces. */
async function inPieces(pieces: readonly number[], options: { slidingWindow?: number; keyMask?: Tensor<"f32"> } = {}) {
  const total = pieces.reduce((a, b) => a + b, 0);
  const [q, k, v] = sequence(total);
  using cache = newCache();
  const parts: Float32Array[] = [];
  let start = 0;
  for (const piece of pieces) {
    const past = cache.layer(0).append(rows(k, start, piece), rows(v, start, piece));
    const y = attention(rows(q, start, piece), past.k, past.v, { ...options, causal: true, keyLength: past.length });
    parts.push(await y.read());
    start += piece;
  }
  expect(cache.length).toBe(total);
  const whole = attention(q, k, v, { ...options, causal: true });
  let at = 0;
  for (const [i, piece] of pieces.entries()) {
    expectClose(`piece ${i}`, parts[i] ?? [], await rows(whole, at, piece).read(), 1e-6);
    at += piece;
  }
}

describe("attention over a cache equals attention over the whole sequence", () => {
  test("in pieces of many positions and of one", () => inPieces([33, 1, 1, 8, 1]));
  test("with a sliding window", () => inPieces([20, 1, 1, 15], { slidingWindow: 7 }));
  test("with left padding", async () => {
    const mask = Float32Array.from({ length: B * capacity }, (_, i) => (i % capacity < 3 && i < capacity ? 0 : 1));
    await inPieces([5, 1, 35, 1], { keyMask: tensor(device, mask, [B, capacity]) });
  });
});

test("a captured step reads its position on the device and can be replayed", async () => {
  const [q, k, v] = sequence(24);
  using cache = newCache(2);
  const layer = cache.layer(1);
  for (const index of [0, 1]) cache.layer(index).append(rows(k, 0, 20), rows(v, 0, 20));
  const position = tensor(device, Uint32Array.of(20));
  const [stepQ, stepK, stepV] = sequence(1, 50);
  using step = device.capture(() => {
    const past = layer.append(stepK, stepV, { position });
    return attention(stepQ, past.k, past.v, { causal: true, position });
  });
  const whole = attention(q, k, v, { causal: true });
  for (let t = 20; t < 24; t++) {
    position.write(Uint32Array.of(t));
    stepQ.write(await rows(q, t, 1).read());
    stepK.write(await rows(k, t, 1).read());
    stepV.write(await rows(v, t, 1).read());
    step.replay();
    cache.advance(1);
    expectClose(`position ${t}`, await step.value.read(), await rows(whole, t, 1).read(), 1e-6);
  }
  expect(cache.length).toBe(24);
});

test("a captured step of many positions agrees too", async () => {
  const [q, k, v] = sequence(46);
  using cache = newCache();
  cache.layer(0).append(rows(k, 0, 6), rows(v, 0, 6));
  const position = tensor(device, Uint32Array.of(6));
  const past = cache.layer(0).append(rows(k, 6, 40), rows(v, 6, 40), { position });
  const y = attention(rows(q, 6, 40), past.k, past.v, { causal: true, position });
  expectClose("value", await y.read(), await rows(attention(q, k, v, { causal: true }), 6, 40).read(), 1e-6);
});

test("truncate and reset forget the last positions", async () => {
  const [q, k, v] = sequence(9);
  using cache = newCache();
  const layer = cache.layer(0);
  layer.append(k, v);
  cache.truncate(4);
  expect(cache.length).toBe(4);
  const past = layer.append(rows(k, 4, 5), rows(v, 4, 5));
  const expected = await attention(q, k, v, { causal: true }).read();
  expect(await attention(q, past.k, past.v, { causal: true, keyLength: past.length }).read()).toEqual(expected);
  cache.reset();
  expect(cache.length).toBe(0);
});

test("reorder lets a sequence continue another one", async () => {
  const [, k, v] = sequence(7);
  using cache = newCache();
  const past = cache.layer(0).append(k, v);
  cache.reorder(tensor(device, Uint32Array.of(1, 1)));
  for (const [own, before] of [
    [past.k, k],
    [past.v, v],
  ] as const) {
    const second = (await before.read()).subarray(7 * Akv * D);
    expect(await rows(own, 0, 7).read()).toEqual(Float32Array.from([...second, ...second]));
  }
});

describe("a cache refuses", () => {
  test("more positions than it has room for, also when a capture is counted", () => {
    using cache = newCache();
    const [, k, v] = sequence(30);
    cache.layer(0).append(k, v);
    const message = "30 more positions after 30 pass the capacity of 50; make the cache larger";
    expect(() => cache.layer(0).append(k, v)).toThrow(ValueError);
    expect(() => cache.layer(0).append(k, v)).toThrow(message);
    expect(() => cache.advance(30)).toThrow(message);
    expect(cache.length).toBe(30);
  });

  test("another batch size, a layer that does not exist, a negative length", () => {
    using cache = newCache();
    const k = random([B + 1, 1, Akv, D], 1);
    expect(() => cache.layer(0).append(k, k)).toThrow(ShapeError);
    expect(() => cache.layer(1)).toThrow("layer 1 does not exist; there are 1");
    expect(() => cache.truncate(-1)).toThrow(ValueError);
    expect(() => cache.reorder(tensor(device, Uint32Array.of(0)))).toThrow("indices has shape [1], expected [2]");
  });
});
