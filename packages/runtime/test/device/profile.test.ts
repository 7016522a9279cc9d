import { mkdtemp, readFile, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { testDevice } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { environmentAdapter, findAdapter } from "#gpu";
import type { AdapterChoice } from "../../src/device/adapter.ts";
import { profile, writeTrace } from "../../src/device/index.ts";
import { openDevice } from "../../src/device/request-device.ts";
import { add, matmul, measureLimits } from "../../src/ops/index.ts";
import { scope, tensor } from "../../src/tensor/index.ts";
import { scaled } from "./kernels.ts";

const device = await testDevice();

describe("profile", () => {
  test("counts and times every dispatch, and the results are right", async () => {
    const x = tensor(device, new Float32Array(64 * 64).fill(1), [64, 64]);
    let sum = 0;
    const report = await profile(device, async () => {
      using y = scope(() => add(matmul(x, x), scaled(x, 2)));
      sum = (await y.read())[0] ?? 0;
      scaled(x, 3).dispose(); // recorded after a wait, submitted by nobody else
    });
    expect(sum).toBe(66);
    expect(report.dispatches).toBe(4);
    expect(report.events.map(({ kernel }) => kernel)).toEqual(["gemm", "scale", "map", "scale"]);
    expect(Object.fromEntries(report.kernels.map(({ kernel, calls }) => [kernel, calls]))).toEqual({
      gemm: 1,
      scale: 2,
      map: 1,
    });
    const order = report.kernels.map(({ ms }) => ms);
    expect(order).toEqual(order.toSorted((a, b) => b - a));
    expect(report.totalMs).toBeCloseTo(order.reduce((a, b) => a + b));
    const gemm = report.kernels.find(({ kernel }) => kernel === "gemm");
    expect(gemm?.gflops).toBeCloseTo((2 * 64 ** 3) / (gemm?.ms ?? 1) / 1e6);
    expect(gemm).not.toHaveProperty("share");
    expect(report.jsMicrosecondsPerDispatch).toBeCloseTo((1000 * report.hostMs) / 4);
    expect(report.peakBytes).toBeGreaterThanOrEqual(4 * 64 * 64 * 4);
  });

  test("afterwards the device runs as before, also when the function throws", async () => {
    const x = tensor(device, [1]);
    await expect(profile(device, () => Promise.reject(new Error("mine")))).rejects.toThrow("mine");
    const before = device.counters.dispatches;
    expect(await scaled(x, 2).item()).toBe(2);
    expect(device.counters.dispatches - before).toBe(1);
  });

  test("without timestamps each dispatch is waited for; uploads and reads keep their order", async () => {
    const search = await findAdapter((environmentAdapter() ?? "auto") as AdapterChoice);
    if (!search.adapter) throw new Error(search.remedy);
    const { adapter } = search;
    const features = new Set([...adapter.features].filter((feature) => feature !== "timestamp-query"));
    const plain = new Proxy(adapter, {
      get: (target, name) => {
        if (name === "features") return features;
        const value = Reflect.get(target, name, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    using own = await openDevice({ ...search, adapter: plain });
    const x = tensor(own, [1]);
    const values: number[] = [];
    const report = await profile(own, async () => {
      const first = scaled(x, 10);
      x.write(Float32Array.of(2));
      const second = scaled(x, 10);
      values.push(...(await Promise.all([first.item(), second.item()])));
    });
    expect(values).toEqual([10, 20]);
    expect(report.dispatches).toBe(2);
    expect(report.totalMs).toBeGreaterThan(0);
  });

  test("share relates each kernel to the adapter's measured limits", async () => {
    const limits = await measureLimits(device);
    expect(limits.gflops).toBeGreaterThan(0.01);
    expect(limits.gbps).toBeGreaterThan(0.01);
    expect(measureLimits(device)).toBe(measureLimits(device));
    const x = tensor(device, new Float32Array(2 ** 18));
    const { kernels } = await profile(device, () => scaled(x, 1), { limits });
    const [{ share, gflops, gbps } = { share: 0, gflops: 0, gbps: 0 }] = kernels;
    expect(share).toBeCloseTo(Math.max(gflops / limits.gflops, gbps / limits.gbps));
  });

  test("the sparsity meter relates flops and weights to those of the experts in use", async () => {
    const x = tensor(device, new Float32Array(1000));
    const options = { ideal: { flops: 1000, weightBytes: 1000 }, numLayers: 2 };
    // Two dispatches of 2 flops and 8 bytes an element, 4 of them weights.
    const report = await profile(device, () => void [scaled(x, 1), scaled(x, 2)], options);
    expect(report.sparsity).toEqual({ flops: 4, weightBytes: 8 });
    expect(report.bytes).toBe(16_000);
    expect(report.dispatchesPerLayer).toBe(1);
    // An op that states neither.
    expect((await profile(device, () => add(x, x), options)).sparsity).toEqual({ flops: 0 });
    expect(await profile(device, () => scaled(x, 1))).not.toHaveProperty("sparsity");
  });

  test("a trace opens in Perfetto: complete events in microseconds", async () => {
    const x = tensor(device, [1]);
    const report = await profile(device, () => scaled(x, 1));
    const folder = await mkdtemp(path.join(os.tmpdir(), "moebius-trace-"));
    try {
      const file = path.join(folder, "trace.json");
      await writeTrace(report, file);
      const { traceEvents } = JSON.parse(await readFile(file, "utf8"));
      const [event] = report.events;
      expect(traceEvents).toEqual([
        expect.objectContaining({ name: "scale", ph: "X", ts: 0, dur: 1000 * (event?.durationMs ?? 0) }),
      ]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
