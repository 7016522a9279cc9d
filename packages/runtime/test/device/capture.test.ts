import { testDevice } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { DeviceValidationError, LifetimeError } from "../../src/device/index.ts";
import { add, linear, softmax } from "../../src/ops/index.ts";
import { scope, tensor } from "../../src/tensor/index.ts";
import { scaled } from "./kernels.ts";

const device = await testDevice();

describe("capture and replay", () => {
  test("gives what running directly gives, for inputs rewritten between replays", async () => {
    const x = tensor(device, new Float32Array(12), [3, 4]);
    const weight = tensor(
      device,
      Float32Array.from({ length: 20 }, (_, i) => Math.sin(i)),
      [5, 4],
    );
    const step = () => scope(() => softmax(linear(x, weight)));
    using capture = device.capture(step);
    for (let round = 0; round < 3; round++) {
      x.write(Float32Array.from({ length: 12 }, (_, i) => Math.cos(i + round)));
      capture.replay();
      const replayed = await capture.value.read();
      using direct = step();
      expect(replayed).toEqual(await direct.read());
    }
  });

  test("replays that are recorded back to back each see the input of their moment", async () => {
    const x = tensor(device, [0]);
    using capture = device.capture(() => scaled(x, 10));
    const reads = [1, 2, 3].map((value) => {
      x.write(Float32Array.of(value));
      capture.replay();
      return capture.value.item();
    });
    expect(await Promise.all(reads)).toEqual([10, 20, 30]);
  });

  test("a replay makes no buffer and no bind group", async ({ annotate }) => {
    const x = tensor(device, new Float32Array(64));
    using capture = device.capture(() => scope(() => add(scaled(x, 2), scaled(x, 3))));
    capture.replay();
    await device.finish();
    const before = [device.memory.use.buffersCreated, device.numBindGroups];
    const start = performance.now();
    for (let i = 0; i < 200; i++) capture.replay();
    await device.flush();
    await annotate(`${((1000 * (performance.now() - start)) / 600).toFixed(1)} µs of JavaScript a dispatch`);
    await device.finish();
    expect([device.memory.use.buffersCreated, device.numBindGroups]).toEqual(before);
    expect(capture.numDispatches).toBe(3);
  });

  test("host data that the step uploads is there at every replay", async () => {
    const x = tensor(device, [1]);
    using capture = device.capture(() => scope(() => add(x, tensor(device, [10]))));
    for (const value of [1, 2]) {
      x.write(Float32Array.of(value));
      capture.replay();
      expect(await capture.value.item()).toBe(value + 10);
    }
  });

  test("keeps what it reads alive until it is disposed", async () => {
    const x = tensor(device, [3]);
    using capture = device.capture(() => scaled(x, 2));
    x.dispose();
    const other = tensor(device, [100]);
    device.trim();
    capture.replay();
    expect(await capture.value.item()).toBe(6);
    other.dispose();
  });

  test("disposed while a replay is pending, that replay is still right", async () => {
    const x = tensor(device, [4]);
    const capture = device.capture(() => scope(() => add(x, tensor(device, [1]))));
    capture.replay();
    const read = capture.value.item();
    capture.value.dispose();
    capture[Symbol.dispose]();
    expect(await read).toBe(5);
    expect(() => capture.replay()).toThrow(LifetimeError);
  });
});

describe("inside a capture", () => {
  test("reading and flushing are errors", async () => {
    const x = tensor(device, [1]);
    let read: Promise<unknown> | undefined;
    device.capture(() => (read = x.read()))[Symbol.dispose]();
    await expect(read).rejects.toThrow("a capture cannot read results back");
    expect(() => device.capture(() => device.flush())).toThrow(DeviceValidationError);
  });

  test("another capture, or its replay, is an error", () => {
    using outer = device.capture(() => 1);
    expect(() => device.capture(() => device.capture(() => 2))).toThrow("captures do not nest");
    expect(() => device.capture(() => outer.replay())).toThrow("cannot be replayed inside another");
  });

  test("an exception ends the recording, and the device records on", async () => {
    expect(() =>
      device.capture(() => {
        throw new Error("mine");
      }),
    ).toThrow("mine");
    expect(await scaled(tensor(device, [2]), 2).item()).toBe(4);
  });
});
