import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { testDevice } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import {
  ConfigError,
  DeviceLostError,
  DeviceValidationError,
  defineKernel,
  requestDevice,
  ShaderError,
  ShapeError,
} from "../../src/device/index.ts";
import { tensor } from "../../src/tensor/index.ts";
import { brokenKernel, dispatchBroken, scaled } from "./kernels.ts";

const device = await testDevice();

describe("a shader that does not compile", () => {
  test("rejects the next await with kernel, line and the line's text; then work goes on", async () => {
    const [x, y] = [tensor(device, [1]), tensor(device, [2])];
    dispatchBroken(device, x, y);
    const error = await device.finish().catch((error: unknown) => error);
    expect(error).toBeInstanceOf(ShaderError);
    expect(error).toMatchObject({ kernel: "broken", userFacing: false });
    expect((error as ShaderError).line).toBeGreaterThan(0);
    expect((error as ShaderError).message).toMatch(/kernel broken, line \d+: .*nowhere.* in "@compute @workgroup_size/);
    expect(await scaled(x, 3).item()).toBe(3);
  });

  test("rejects every read that was under way, and each can be awaited later than the others", async () => {
    const [x, y] = [tensor(device, [1]), tensor(device, [2])];
    dispatchBroken(device, x, y);
    const reads = [y.read(), scaled(y, 2).read(), y.item()];
    await expect(reads[0]).rejects.toBeInstanceOf(ShaderError);
    await new Promise((resolve) => setTimeout(resolve, 20));
    for (const read of reads) await expect(read).rejects.toBeInstanceOf(ShaderError);
    expect(await scaled(x, 4).item()).toBe(4);
  });

  test("rejects every read again when it is used again", async () => {
    const kernel = brokenKernel();
    const [x, y] = [tensor(device, [1]), tensor(device, [2])];
    for (let round = 0; round < 2; round++) {
      dispatchBroken(device, x, y, kernel);
      const outcomes = await Promise.allSettled([y.read(), y.read(), device.finish()]);
      expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected"]);
    }
  });

  test("when nobody awaits, the next call throws it", async () => {
    const [x, y] = [tensor(device, [1]), tensor(device, [2])];
    dispatchBroken(device, x, y);
    device.flush();
    await new Promise((resolve) => setTimeout(resolve, 300));
    // `flush` above was not awaited, but it was told: the error is not thrown twice.
    expect(await scaled(x, 5).item()).toBe(5);
    dispatchBroken(device, x, y);
    for (let i = 0; i < 128; i++) scaled(x, 1).dispose(); // flushes by itself
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(() => scaled(x, 1)).toThrow(ShaderError);
    expect(await scaled(x, 6).item()).toBe(6);
  });

  test("drops the dispatches recorded behind it, so that they do not compute on garbage, but keeps host data", async () => {
    const [x, y, weight] = [tensor(device, [1]), tensor(device, [2]), tensor(device, [5])];
    await device.finish();
    dispatchBroken(device, x, y);
    scaled(y, 100, 0, weight);
    const first = device.flush();
    scaled(y, 100, 0, weight);
    x.write(Float32Array.of(9));
    await expect(first).rejects.toBeInstanceOf(ShaderError);
    expect(await Promise.all([weight.item(), x.item()])).toEqual([5, 9]);
  });
});

describe("WebGPU's own errors", () => {
  /** Its second binding is missing, which only WebGPU notices. */
  const invalid = defineKernel(
    "one-operand",
    `@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(1) fn main() { y[0] = x[0]; }`,
  );

  test("a validation error rejects the read that follows, and the device stays usable", async () => {
    const x = tensor(device, [1]);
    device.dispatch({ kernel: invalid, bindings: [x.binding()], grid: [1] });
    const reads = [x.read(), x.read()];
    await expect(reads[0]).rejects.toBeInstanceOf(DeviceValidationError);
    await expect(reads[1]).rejects.toThrow(/one-operand/);
    expect(await scaled(x, 2).item()).toBe(2);
  });

  test("a grid too large is refused with the kernel's name before it is recorded", () => {
    const [x, y] = [tensor(device, [1]), tensor(device, [2])];
    const attempt = (grid: [number, number?]) => () =>
      device.dispatch({ kernel: invalid, bindings: [x.binding(), y.binding()], grid });
    expect(attempt([1, 65_536])).toThrow(ShapeError);
    expect(attempt([1, 65_536])).toThrow("kernel one-operand: a grid of 1 x 65536 x 1 workgroups");
    expect(attempt([Number.NaN])).toThrow(ShapeError);
  });

  test("an operand larger than a binding is refused with both sizes", () => {
    const x = tensor(device, [1]);
    const { maxBindingBytes } = device.describe().limits;
    const huge = { buffer: x.buffer, offsetBytes: 0, sizeBytes: maxBindingBytes + 4 };
    expect(() => device.dispatch({ kernel: invalid, bindings: [huge, x.binding()], grid: [1] })).toThrow(
      `kernel one-operand: operand 0 has ${maxBindingBytes + 4} bytes, more than the ${maxBindingBytes} that this adapter`,
    );
  });
});

describe("a device that is gone", () => {
  test("after dispose everything is an error, not silence", async () => {
    const own = await requestDevice({ onNotice: false });
    const x = tensor(own, [1]);
    await x.read();
    own[Symbol.dispose]();
    own[Symbol.dispose]();
    expect(() => scaled(x, 2)).toThrow(DeviceLostError);
    expect(() => tensor(own, [1])).toThrow("this device was disposed");
    await expect(x.read()).rejects.toThrow(DeviceLostError);
    await expect(own.finish()).rejects.toThrow(DeviceLostError);
  });

  test("a lost device rejects what is under way and everything after", async () => {
    const own = await requestDevice({ onNotice: false });
    const x = tensor(own, [1]);
    await x.read();
    own.gpu.destroy();
    await own.gpu.lost;
    await expect(x.read()).rejects.toThrow(/the GPU device was lost .*request a new one/);
    expect(() => scaled(x, 2)).toThrow(DeviceLostError);
  });
});

describe("an adapter that cannot be had", () => {
  test("an unknown name lists the choices", async () => {
    const adapter = "gpu" as "auto";
    await expect(requestDevice({ adapter })).rejects.toThrow(ConfigError);
    await expect(requestDevice({ adapter })).rejects.toThrow("expected one of auto, hardware, software, embedded");
  });

  test.skipIf(device.adapterClass === "hardware")("says what was tried and what helps", () => {
    const file = fileURLToPath(new URL("request-hardware.ts", import.meta.url));
    const register = new URL("../../../../tooling/register.mjs", import.meta.url).href;
    const { stdout } = spawnSync(
      process.execPath,
      ["--conditions=@moebius/source", "--import", "tsx", "--import", register, file],
      { encoding: "utf8", env: { ...process.env, MOEBIUS_ADAPTER: "hardware" } },
    );
    expect(JSON.parse(stdout)).toEqual({
      name: "NoAdapterError",
      message: expect.stringMatching(
        /^no WebGPU adapter \(the system's graphics driver: .+\); the adapter "hardware" was asked for/,
      ),
      tried: [expect.stringContaining("the system's graphics driver: ")],
    });
  });
});
