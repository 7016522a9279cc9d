import { checkOp, expectClose, testDevice } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { ShapeError, ValueError } from "../../src/device/errors.ts";
import { deriveKey, dropout, randomGumbel, randomNormal, randomUniform, Tape } from "../../src/ops/index.ts";
import { RandomKey, tensor } from "../../src/tensor/index.ts";

const device = await testDevice();
const key = new RandomKey(7).split("test");
const onDevice = (k: RandomKey) => tensor(device, Uint32Array.from(k.key));

describe("the device draws the numbers of the host", () => {
  test.each([[[]], [[1]], [[3]], [[5, 7]], [[70_001]]])("of shape %j", async (shape) => {
    const uniform = await randomUniform(device, key, shape).read();
    expect(uniform).toEqual(key.uniform(uniform.length));
    const normal = await randomNormal(device, key, shape).read();
    expectClose("normal", normal, key.normal(normal.length), 2e-6); // of the largest, about 4
  });

  test("for a key on the device, too, with its splits and folds", async () => {
    const name = "layers.3.dropout";
    const derived = deriveKey(deriveKey(onDevice(key), name), 5);
    expect(Array.from(await derived.read())).toEqual(key.split(name).fold(5).key);
    expect(await randomUniform(device, derived, [9]).read()).toEqual(key.split(name).fold(5).uniform(9));
  });

  test("Gumbel numbers are −log(−log u), and finite at u = 0", async () => {
    const gumbel = await randomGumbel(device, key, [70_001]).read();
    const uniform = key.uniform(gumbel.length);
    expect(gumbel.every(Number.isFinite)).toBe(true);
    const expected = uniform.map((u) => -Math.log(-Math.log(Math.max(u, 2 ** -25))));
    expectClose("gumbel", gumbel, expected, 1e-4); // log near 1 errs by 3e-5 on lavapipe
    const mean = gumbel.reduce((sum, value) => sum + value, 0) / gumbel.length;
    expect(mean).toBeCloseTo(0.5772, 1);
  });

  test("a key of another size is refused", () => {
    const three = tensor(device, Uint32Array.of(1, 2, 3));
    expect(() => randomUniform(device, three, [4])).toThrow(ShapeError);
    expect(() => randomUniform(device, three, [4])).toThrow("a key on the device has shape [3], expected [2]");
  });
});

describe("dropout", () => {
  const reference = (rate: number) => (x: Float64Array) => {
    const uniform = key.uniform(x.length);
    return x.map((value, i) => ((uniform[i] ?? 0) < rate ? 0 : value / (1 - rate)));
  };

  test.each([
    [[1], 0.5],
    [[7], 0.3],
    [[5, 67], 0.9],
    [[2, 3, 64], 0.1],
    [[9], 0],
  ])("of shape %j at rate %d matches the host, and its gradient uses the same mask", async (shape, rate) => {
    const inputs = [{ shape }];
    await checkOp(device, { op: (x) => dropout(x, rate, key), reference: reference(rate), inputs });
    const keyOnDevice = onDevice(key);
    await checkOp(device, { op: (x) => dropout(x, rate, keyOnDevice), reference: reference(rate), inputs });
  });

  test("keeps the mean", async () => {
    const ones = tensor(device, new Float32Array(65_536).fill(1));
    const y = await dropout(ones, 0.25, key).read();
    const kept = y.filter((value) => value !== 0);
    expect(new Set(kept)).toEqual(new Set([Math.fround(1 / 0.75)]));
    // five standard errors of a share of 0.75
    expect(Math.abs(kept.length / 65_536 - 0.75)).toBeLessThan(5 * Math.sqrt((0.25 * 0.75) / 65_536));
  });

  test("drops infinities and NaN, too", async () => {
    const y = await dropout(tensor(device, new Float32Array(64).fill(NaN)), 0.5, key).read();
    expect(Array.from(y, Number.isNaN)).toEqual(Array.from(key.uniform(64), (u) => u >= 0.5));
  });

  test("in a captured step follows the key that is written before each replay", async () => {
    const stepKey = onDevice(key);
    const x = tensor(device, new Float32Array(40).fill(1));
    using step = device.capture(() => {
      const tape = new Tape([x]);
      const y = tape.run(() => dropout(x, 0.5, deriveKey(stepKey, "mask")));
      return { y, dx: tape.backward(y, x).get(x) };
    });
    for (const n of [1, 2]) {
      stepKey.write(Uint32Array.from(key.fold(n).key));
      step.replay();
      const expected = Array.from(key.fold(n).split("mask").uniform(40), (u) => (u < 0.5 ? 0 : 2));
      expect(Array.from(await step.value.y.read())).toEqual(expected);
      expect(Array.from((await step.value.dx?.read()) ?? [])).toEqual(expected);
    }
  });

  test("a rate outside 0 ≤ rate < 1 is refused", () => {
    const x = tensor(device, [1]);
    for (const rate of [-0.1, 1, NaN]) expect(() => dropout(x, rate, key)).toThrow(ValueError);
    expect(() => dropout(x, 1, key)).toThrow("dropout: rate is 1, expected 0 ≤ rate < 1");
  });
});
