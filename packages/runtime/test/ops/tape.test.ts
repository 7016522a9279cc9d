import { testDevice } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { add, multiply, square } from "../../src/ops/elementwise.ts";
import { sum } from "../../src/ops/reduction.ts";
import { stopGradient, Tape } from "../../src/ops/tape.ts";
import { scope, tensor } from "../../src/tensor/index.ts";

const device = await testDevice();

describe("Tape", () => {
  test("adds the gradients of a tensor that is used twice", async () => {
    const x = tensor(device, [3]);
    const tape = new Tape([x]);
    const y = tape.run(() => sum(add(square(x), multiply(x, x)))); // 2x², slope 4x
    expect(await tape.backward(y).get(x)?.item()).toBe(12);
  });

  test("works when the handles between are dropped by a scope", async () => {
    const x = tensor(device, [2]);
    const tape = new Tape([x]);
    const y = tape.run(() => scope(() => sum(square(square(x))))); // x⁴, slope 4x³
    expect(await tape.backward(y).get(x)?.item()).toBe(32);
  });

  test("stopGradient cuts", async () => {
    const x = tensor(device, [5]);
    const tape = new Tape([x]);
    const y = tape.run(() => sum(multiply(x, stopGradient(x))));
    expect(await tape.backward(y).get(x)?.item()).toBe(5);
  });

  test("a tensor that the loss does not depend on has no gradient", () => {
    const [x, other] = [tensor(device, [1]), tensor(device, [1])];
    const tape = new Tape([x, other]);
    const y = tape.run(() => sum(square(x)));
    expect(tape.backward(y).has(other)).toBe(false);
  });

  test("a second backward throws", () => {
    const x = tensor(device, [1]);
    const tape = new Tape([x]);
    const y = tape.run(() => sum(x));
    tape.backward(y);
    expect(() => tape.backward(y)).toThrow("a tape can be walked once");
  });

  test("a saved tensor that was changed since is an error", () => {
    const x = tensor(device, [1]);
    const tape = new Tape([x]);
    const y = tape.run(() => sum(square(x)));
    x.write(Float32Array.of(2));
    expect(() => tape.backward(y)).toThrow("was changed in place after the op ran");
  });

  test("an output that is no scalar needs a seed", () => {
    const x = tensor(device, [1, 2]);
    const tape = new Tape([x]);
    const y = tape.run(() => square(x));
    expect(() => tape.backward(y)).toThrow("needs a scalar or a seed, got shape [2]");
  });

  test("frees what it saved, also when the function throws", () => {
    const x = tensor(device, new Float32Array(1000));
    const before = device.memory.use.inUseBytes;
    const tape = new Tape([x]);
    expect(() =>
      tape.run(() =>
        scope(() => {
          square(square(x));
          throw new Error("stop");
        }),
      ),
    ).toThrow("stop");
    expect(device.memory.use.inUseBytes).toBe(before);
  });
});
