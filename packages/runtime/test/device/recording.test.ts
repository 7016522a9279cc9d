import { testDevice } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { requestDevice } from "../../src/device/index.ts";
import { tensor } from "../../src/tensor/index.ts";
import { scaled } from "./kernels.ts";

const device = await testDevice();

describe("order", () => {
  test("a write between two recorded uses is seen by the second only", async () => {
    const x = tensor(device, [1]);
    const before = scaled(x, 1, 1);
    x.write(Float32Array.of(100));
    const after = scaled(x, 1, 1);
    expect(await Promise.all([before.item(), after.item()])).toEqual([2, 101]);
  });

  test("a read sees what was recorded before it, whatever is written and released afterwards", async () => {
    const x = tensor(device, [1, 2]);
    const read = x.read();
    x.write(Float32Array.of(8, 9));
    const later = x.read();
    x.dispose();
    const reuse = tensor(device, [5, 5]);
    expect([...(await read)]).toEqual([1, 2]);
    expect([...(await later)]).toEqual([8, 9]);
    expect([...(await reuse.read())]).toEqual([5, 5]);
  });

  test("a released buffer is reused at once without disturbing earlier records", async () => {
    const x = tensor(device, [1, 2, 3]);
    const y = scaled(x, 2);
    x.dispose();
    const z = tensor(device, [7, 7, 7]);
    const w = scaled(z, 1, 0);
    expect([[...(await y.read())], [...(await w.read())]]).toEqual([
      [2, 4, 6],
      [7, 7, 7],
    ]);
  });
});

test("a long list flushes by itself, in order", async () => {
  const start = device.counters.dispatches;
  let x = tensor(device, [0]);
  for (let i = 0; i < 500; i++) {
    const next = scaled(x, 1, 1);
    x.dispose();
    x = next;
  }
  expect(device.counters.dispatches - start).toBeGreaterThanOrEqual(256);
  expect(await x.item()).toBe(500);
  expect(device.counters.dispatches - start).toBe(500);
});

test("an upload whose bytes are no multiple of four is padded with zeros", async () => {
  const x = tensor(
    device,
    Float32Array.from({ length: 10 }, (_, i) => i),
  );
  device.upload(x.buffer, 4, Uint8Array.of(0, 0, 128));
  const [, second] = await x.read();
  expect(second).toBe(new Float32Array(Uint8Array.of(0, 0, 128, 0).buffer)[0]);
});

test("a steady loop makes no new buffers and no new bind groups", async () => {
  const x = tensor(device, new Float32Array(1000).fill(1));
  const step = async () => {
    const y = scaled(x, 2);
    const z = scaled(y, 3);
    y.dispose();
    const read = z.read();
    z.dispose();
    return (await read)[999];
  };
  expect(await step()).toBe(6);
  const before = [device.memory.use.buffersCreated, device.numBindGroups];
  for (let i = 0; i < 5; i++) expect(await step()).toBe(6);
  expect([device.memory.use.buffersCreated, device.numBindGroups]).toEqual(before);
});

test("two devices compute at once, and one outlives the other", async () => {
  using one = await requestDevice({ onNotice: false });
  using two = await requestDevice({ onNotice: false });
  const [x, y] = [tensor(one, [1]), tensor(two, [2])];
  expect(await Promise.all([scaled(x, 5).item(), scaled(y, 5).item()])).toEqual([5, 10]);
  one[Symbol.dispose]();
  expect(await scaled(y, 7).item()).toBe(14);
});

test("the notice names the adapter and its class", async () => {
  const lines: string[] = [];
  using device = await requestDevice({ onNotice: (line) => lines.push(line) });
  const { adapter, adapterClass } = device.describe();
  expect(lines).toEqual([`moebius: computing on ${adapter} (${adapterClass})`]);
});
