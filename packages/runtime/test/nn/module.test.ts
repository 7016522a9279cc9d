import { testDevice } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import type { Storage } from "../../src/device/index.ts";
import { Linear, Module, normal, ones, uniform, zeros } from "../../src/nn/index.ts";
import { scale } from "../../src/ops/index.ts";
import { RandomKey, scope, tensor } from "../../src/tensor/index.ts";

const device = await testDevice();

class Tower extends Module {
  readonly scale = this.parameter("scale", [3], ones);
  readonly blocks = this.children("blocks", [
    new Linear(device, { inFeatures: 2, outFeatures: 3, bias: true }),
    new Linear(device, { inFeatures: 3, outFeatures: 2 }),
  ]);
  readonly head = this.child("head", new Linear(device, { inFeatures: 2, outFeatures: 1, initializer: uniform(0.5) }));
}

const NAMES = ["scale", "blocks.0.weight", "blocks.0.bias", "blocks.1.weight", "head.weight"];

const read = async (module: Module) =>
  new Map(
    await Promise.all(
      [...module.parameters()].map(async ([name, parameter]) => [name, await parameter.read()] as const),
    ),
  );

describe("Module", () => {
  test("names a parameter by its path, in order of declaration", () => {
    using tower = new Tower(device);
    expect([...tower.parameters().keys()]).toEqual(NAMES);
    expect(tower.numParameters).toBe(3 + 6 + 3 + 6 + 2);
  });

  test("a name that is taken is an error", () => {
    class Twice extends Module {
      readonly first = this.parameter("weight", [1]);
      readonly second = this.parameter("weight", [1]);
    }
    expect(() => new Twice(device)).toThrow('Twice: two parts are named "weight"');
  });

  test("frozen parameters are not trainable", () => {
    using tower = new Tower(device);
    tower.head.weight.trainable = false;
    expect([...tower.trainableParameters().keys()]).toEqual(NAMES.slice(0, -1));
  });

  test("the same key gives the same values, another key others, and each name its own", async () => {
    using a = new Tower(device).initialize(new RandomKey(1));
    using b = new Tower(device).initialize(new RandomKey(1));
    using c = new Tower(device).initialize(new RandomKey(2));
    const [first, same, other] = await Promise.all([read(a), read(b), read(c)]);
    expect(first).toEqual(same);
    expect(first.get("scale")).toEqual(Float32Array.of(1, 1, 1));
    expect(first.get("blocks.0.bias")).toEqual(new Float32Array(3));
    expect(first.get("blocks.0.weight")).not.toEqual(other.get("blocks.0.weight"));
    expect(first.get("blocks.0.weight")).not.toEqual(first.get("blocks.1.weight"));
    expect(first.get("head.weight")?.every((x) => Math.abs(x) <= 0.5 && x !== 0)).toBe(true);
  });

  test("load writes every parameter by name", async () => {
    using tower = new Tower(device);
    const values = new Map(
      [...tower.parameters()].map(([name, { size }]) => [name, new Float32Array(size).fill(size)]),
    );
    tower.load(values);
    expect(await read(tower)).toEqual(values);
  });

  test.each<[string, (values: Map<string, Float32Array<ArrayBuffer>>) => void, string]>([
    ["a missing tensor", (values) => values.delete("blocks.1.weight"), "load: no values for blocks.1.weight"],
    [
      "many missing tensors",
      (values) => values.clear(),
      "load: no values for scale, blocks.0.weight, blocks.0.bias and 2 more",
    ],
    ["an unknown tensor", (values) => values.set("tail", new Float32Array(1)), "load: no parameter named tail"],
    [
      "a tensor of another size",
      (values) => values.set("head.weight", new Float32Array(3)),
      "load: head.weight has 3 values, its shape is [1, 2]",
    ],
  ])("load with %s is an error and writes nothing", async (_, change, message) => {
    using tower = new Tower(device).initialize(new RandomKey(1));
    const before = await read(tower);
    const values = new Map([...tower.parameters()].map(([name, { size }]) => [name, new Float32Array(size)]));
    change(values);
    expect(() => tower.load(values)).toThrow(message);
    expect(await read(tower)).toEqual(before);
  });

  test("dispose frees all parameters", () => {
    const before = device.memory.use.inUseBytes;
    const tower = new Tower(device);
    expect(device.memory.use.inUseBytes).toBeGreaterThan(before);
    tower[Symbol.dispose]();
    expect(device.memory.use.inUseBytes).toBe(before);
    expect(() => tower.scale.buffer).toThrow("used after it was disposed");
  });
});

describe("initializers", () => {
  test("have the shape's size and the stated spread", () => {
    const key = new RandomKey(5);
    const spread = (values: Float32Array) => Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);
    expect(spread(normal(0.02)(key, [100, 100]))).toBeCloseTo(0.02, 3); // ± 0.02 / √20,000 = 0.00014
    const even = uniform(0.3)(key, [100, 100]);
    expect(spread(even)).toBeCloseTo(0.3 / Math.sqrt(3), 2);
    expect(Math.max(...even)).toBeLessThanOrEqual(0.3);
    expect(zeros(key, [2, 3])).toEqual(new Float32Array(6));
    expect(ones(key, [2])).toEqual(Float32Array.of(1, 1));
  });
});

describe("storeMatrices", () => {
  const x = tensor(device, Float32Array.of(0.5, -1, 2, 0.25), [2, 2]);

  test.each<[Storage, number]>([
    ["f16", 2 ** -11],
    ["bf16", 2 ** -8],
  ])("%s: products read rounded matrices of half the size, which are frozen", async (storage, precision) => {
    using layer = new Linear(device, { inFeatures: 2, outFeatures: 3, bias: true }).initialize(new RandomKey(4));
    const before = await layer.weight.read();
    const expected = await scope(() => layer.forward(x)).read();
    await layer.storeMatrices(storage);
    expect(layer.weight.sizeBytes).toBe(12);
    expect([layer.weight.trainable, layer.bias?.trainable]).toEqual([false, true]);
    const after = await layer.weight.read();
    for (const [i, value] of after.entries())
      expect(Math.abs(value - (before[i] as number))).toBeLessThanOrEqual(precision * Math.abs(before[i] as number));
    const y = await scope(() => layer.forward(x)).read();
    for (const [i, value] of y.entries()) expect(value).toBeCloseTo(expected[i] as number, 3);
  });

  test("a kernel that is no product says what it got", async () => {
    using layer = new Linear(device, { inFeatures: 2, outFeatures: 3 }).initialize(new RandomKey(4));
    await layer.storeMatrices("f16");
    expect(() => scope(() => void scale(layer.weight, 2))).toThrow(
      "a matrix of shape [3, 2] is stored as f16: it can only be multiplied with",
    );
  });

  test("a number beyond float16 is an error, and bfloat16 holds it", async () => {
    using layer = new Linear(device, { inFeatures: 2, outFeatures: 1 });
    layer.weight.write(Float32Array.of(1, 1e5));
    await expect(layer.storeMatrices("f16")).rejects.toThrow("element 1 is 100000, beyond the range of f16");
    expect([...(await layer.weight.read())]).toEqual([1, 1e5]);
    await layer.storeMatrices("bf16");
    expect([...(await layer.weight.read())]).toEqual([1, 99_840]);
  });
});
