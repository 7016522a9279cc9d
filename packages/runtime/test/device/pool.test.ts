import { describe, expect, test } from "vitest";
import { OutOfMemoryError, requestDevice } from "../../src/device/index.ts";
import { empty, tensor } from "../../src/tensor/index.ts";
import { scaled } from "./kernels.ts";

const MIB = 2 ** 20;
const deviceOf = (memoryBudgetBytes = 64 * MIB) => requestDevice({ memoryBudgetBytes, onNotice: false });

describe("size classes", () => {
  test.each([
    [0, 256],
    [4, 256],
    [257, 512],
    [1024, 1024],
    [1025, 1280],
    [5 * MIB + 4, 6 * MIB],
    [8 * MIB, 8 * MIB],
  ])("%i bytes take %i", async (asked, given) => {
    using device = await deviceOf();
    expect(device.allocate(asked, "a test").sizeBytes).toBe(given);
    expect(device.memory.use.allocatedBytes).toBe(given);
  });
});

describe("budget", () => {
  test("an allocation over the budget throws before anything is allocated, with all numbers", async () => {
    using device = await deviceOf(2 * MIB);
    device.allocate(MIB, "the first");
    const attempt = () => device.allocate(2 * MIB, "the second");
    expect(attempt).toThrow(OutOfMemoryError);
    expect(attempt).toThrow(
      "the second needs 2.0 MiB, but 1.0 MiB of the device's budget of 2.0 MiB are taken; " +
        "use a smaller batch or model, or raise memoryBudgetBytes in requestDevice",
    );
    expect(device.memory.use.buffersCreated).toBe(1);
  });

  test("an allocation over the adapter's largest buffer says so, whatever the budget", async () => {
    using device = await deviceOf(1e15);
    const { maxBufferBytes } = device.describe().limits;
    expect(() => device.allocate(2 * maxBufferBytes, "a bank")).toThrow(
      /a bank needs .* the largest buffer of this adapter/,
    );
  });

  test("free buffers of another size make room", async () => {
    using device = await deviceOf(2 * MIB);
    device.allocate(1.5 * MIB, "a test").release();
    device.allocate(MIB, "a test");
    expect(device.memory.use).toMatchObject({ allocatedBytes: MIB, inUseBytes: MIB, peakBytes: 1.5 * MIB });
  });
});

test("a released buffer serves the next allocation of its class, and no earlier one", async () => {
  using device = await deviceOf();
  const [first, second] = [device.allocate(3000, "a"), device.allocate(3000, "b")];
  expect(second).not.toBe(first);
  first.retain();
  first.release();
  expect(device.allocate(3000, "c")).not.toBe(first);
  first.release();
  expect(device.allocate(2900, "d")).toBe(first);
  expect(device.memory.use.buffersCreated).toBe(3);
});

test("free buffers are handed out by age, in whatever order they came back, so that equal steps get equal buffers", async () => {
  using device = await deviceOf();
  const buffers = ["a", "b", "c"].map((name) => device.allocate(256, name));
  for (const index of [1, 2, 0]) buffers[index]?.release();
  expect(buffers.map(() => device.allocate(256, "again").id)).toEqual(buffers.map(({ id }) => id));
});

describe("trim", () => {
  test("leaves a buffer that a pending record uses, and the record's result is right", async () => {
    using device = await deviceOf();
    const x = tensor(device, [1, 2, 3]);
    const y = scaled(x, 10);
    x.dispose();
    device.trim();
    expect(device.memory.use.allocatedBytes).toBe(512);
    expect([...(await y.read())]).toEqual([10, 20, 30]);
    device.trim();
    expect(device.memory.use.allocatedBytes).toBe(256);
  });

  test("running out of memory while a capture is recorded destroys none of the capture's own buffers", async () => {
    using device = await deviceOf(4 * 256);
    const x = tensor(device, [1, 2]);
    using capture = device.capture(() => {
      const first = scaled(x, 2); // its buffer is free again before the next allocation
      const second = scaled(first, 3);
      first.dispose();
      expect(() => device.allocate(1024, "too much")).toThrow(OutOfMemoryError);
      return second;
    });
    capture.replay();
    expect([...(await capture.value.read())]).toEqual([6, 12]);
  });
});

test("when a capture ends, its buffers serve the device: those that are free now and those that come back later", async () => {
  using device = await deviceOf();
  const x = empty(device, [100], "f32");
  const capture = device.capture(() => {
    const first = scaled(x, 2);
    const second = scaled(first, 3);
    first.dispose();
    return second;
  });
  const created = device.memory.use.buffersCreated;
  expect(created).toBe(3);
  capture[Symbol.dispose]();
  const reused = [empty(device, [100], "f32")];
  capture.value.dispose();
  reused.push(empty(device, [100], "f32"));
  expect(device.memory.use.buffersCreated).toBe(created);
  expect(new Set(reused.map(({ buffer }) => buffer)).size).toBe(2);
});
