// The runtime's tests that need no Node, once more in a page of a headless Chromium.
import { fileURLToPath } from "node:url";
import { hasChromium, testInChromium } from "@moebius/testing/browser";
import { describe, expect, test } from "vitest";

const FILES = [
  "tensor/philox",
  "device/upload",
  "device/recording",
  "device/capture",
  "device/uniform-params",
  "ops/elementwise",
  "ops/reduction",
  "ops/matmul",
  "ops/softmax",
  "ops/norm",
  "ops/rotary",
  "ops/attention",
  "ops/top-k",
  "ops/layout",
  "ops/tape",
  "ops/dropout",
  "ops/swiglu",
  "ops/row-groups",
  "ops/cross-entropy",
  "ops/regression-loss",
  "ops/unfold",
  "nn/layers",
  "moe/routers/top-k",
  "moe/plan",
  "moe/moe-layer",
  "moe/losses",
  "moe/residual-router",
  "moe/statistics",
  "decode/kv-cache",
  "optim/adamw",
].map((name) => `test/${name}.test.ts`);

const folder = fileURLToPath(new URL("..", import.meta.url));
const report = hasChromium ? await testInChromium(folder, FILES) : undefined;

describe.skipIf(!report)("in a page", () => {
  test("computes on SwiftShader", () => {
    expect(report?.adapter).toMatch(/SwiftShader/i);
  });

  test("runs every file", () => {
    const ran = report?.tests.filter(({ state }) => state !== "skipped") ?? [];
    expect(FILES.filter((file) => !ran.some(({ name }) => name.startsWith(`${file} > `)))).toEqual([]);
    expect(ran.length).toBeGreaterThan(150);
  });

  for (const { name, state, error } of report?.tests ?? [])
    test.skipIf(state === "skipped")(name, () => {
      if (state === "failed") throw new Error(error);
    });
});
