import { describe, expect, test } from "vitest";
import { hintsFor } from "../src/doctor.ts";
import { runFixture } from "./fixtures/run-fixture.ts";

describe("doctor", () => {
  test("--json: adapter, limits, hints and one result a kernel family", () => {
    const { status, stdout } = runFixture("doctor.ts", ["doctor", "--json"]);
    const { device, host, hints, selfTest, passed } = JSON.parse(stdout);
    expect({ status, passed }).toEqual({ status: 0, passed: true });
    expect(device.adapter).not.toBe("");
    expect(device.limits.maxBindingBytes).toBeGreaterThanOrEqual(2 ** 27);
    expect(host.platform).toBe(`${process.platform} ${process.arch}`);
    expect(hints.at(-1)).toContain("MOEBIUS_ADAPTER");
    expect(selfTest.map(({ family }: { family: string }) => family)).toEqual(
      expect.arrayContaining(["gemm, grouped", "attention", "routing plan", "AdamW"]),
    );
  });

  test("without --json it prints facts, hints and a table for people, and nothing but progress on stderr", () => {
    const { status, stdout, stderr } = runFixture("doctor.ts", ["doctor", "--quiet"]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^adapter {9}\S/);
    expect(stdout).toMatch(/^gemm, grouped +\d\.\de-\d+ +2e-5 +ok +\d+$/m);
    expect(stdout).toMatch(/All \d+ checks agree with float64\.\n$/);
    expect(stderr).not.toContain("error");
  });

  test("an adapter that is not there is the user's mistake and says what to do", () => {
    const { status, stderr } = runFixture("doctor.ts", ["doctor"], { MOEBIUS_ADAPTER: "harware" });
    expect(status).toBe(2);
    expect(stderr).toContain("expected one of auto, hardware, software, embedded");
  });
});

describe("hintsFor", () => {
  const device = { adapterClass: "embedded" } as Parameters<typeof hintsFor>[1];

  test("on Linux without a loader it names the packages to install", () => {
    const hints = hintsFor({ platform: "linux x64", vulkanLoader: false, requestedAdapter: "embedded" }, device);
    expect(hints.map((hint) => /libvulkan1|NVIDIA|mesa-vulkan-drivers of|it is embedded/.exec(hint)?.[0])).toEqual([
      "libvulkan1",
      "NVIDIA",
      "mesa-vulkan-drivers of",
      "it is embedded",
    ]);
  });

  test("a hardware adapter needs no driver", () => {
    const hardware = { ...device, adapterClass: "hardware" } as const;
    const hints = hintsFor(
      { platform: "darwin arm64", vulkanLoader: undefined, requestedAdapter: undefined },
      hardware,
    );
    expect(hints).toHaveLength(1);
  });
});
