import { mkdtemp, readFile, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { type ProfileReport, requestDevice } from "@moebius/runtime/device";
import { negate } from "@moebius/runtime/ops";
import { tensor } from "@moebius/runtime/tensor";
import { afterAll, afterEach, describe, expect, test, vi } from "vitest";
import { checkProfileFile, createProgress, formatProfile, profiled } from "../src/index.ts";

const folder = await mkdtemp(path.join(os.tmpdir(), "moebius-profile-"));
afterAll(() => rm(folder, { recursive: true }));
afterEach(() => vi.restoreAllMocks());

const report: ProfileReport = {
  kernels: [
    { kernel: "gemm", calls: 3, ms: 7.5, gflops: 20, gbps: 0.5, share: 0.8 },
    { kernel: "plan", calls: 1, ms: 2.5, gflops: 0, gbps: 0 },
  ],
  totalMs: 10,
  hostMs: 0.5,
  dispatches: 4,
  jsMicrosecondsPerDispatch: 125,
  compileMs: 30,
  pipelines: 2,
  peakBytes: 3 * 2 ** 20,
  bytes: 0,
  events: [],
};

describe("--profile", () => {
  test("the table shows shares of the time and of the adapter's limit, and - for what a kernel does not state", () => {
    expect(formatProfile(report)).toBe(
      [
        "kernel  calls   ms  of all  Gflop/s  GB/s  of the limit",
        "gemm        3  7.5  75 %       20.0   0.5  80 %",
        "plan        1  2.5  25 %          -     -  -",
        "kernels 10.0 ms in 4 dispatches; JavaScript 0.5 ms, 125 µs a dispatch",
        "2 pipelines compiled in 30 ms; at most 3.0 MiB in use",
      ].join("\n"),
    );
  });

  test("the dearest kernels are shown, the others are in the trace", () => {
    const kernels = Array.from({ length: 50 }, (_, i) => ({ kernel: `k${i}`, calls: 1, ms: 1, gflops: 1, gbps: 1 }));
    const table = formatProfile({ ...report, kernels });
    expect(table).toContain("k11 ");
    expect(table).not.toContain("k12 ");
  });

  test("a file that is no .json, or has no folder, is refused; none is fine", async () => {
    await expect(checkProfileFile("trace.txt")).rejects.toThrow('--profile: "trace.txt" must end in .json');
    await expect(checkProfileFile(path.join(folder, "none/t.json"))).rejects.toThrow("its folder does not exist");
    await checkProfileFile(undefined);
  });

  test("the work's result passes through; the trace is written and the table is on standard error", async () => {
    const stderr = vi.spyOn(process.stderr, "write").mockReturnValue(true);
    using device = await requestDevice({ onNotice: false });
    using progress = createProgress({ quiet: true });
    const file = path.join(folder, "trace.json");
    const x = tensor(device, [2]);
    const work = () => negate(x).item();
    expect(await profiled({ device, file: undefined, progress }, work)).toBe(-2);
    expect(stderr).not.toHaveBeenCalled();
    expect(await profiled({ device, file, progress }, work)).toBe(-2);
    expect(stderr.mock.calls.join("")).toMatch(
      /map +1 .*\nkernels .* in 1 dispatches.*\n.*\nThe trace is in .*trace\.json/,
    );
    const { traceEvents } = JSON.parse(await readFile(file, "utf8"));
    expect(traceEvents.map(({ name }: { name: string }) => name)).toEqual(["map"]);
  });
});
