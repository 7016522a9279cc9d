// The runtime's tests once more, in a page of a headless Chromium.
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { hasChromium, testInChromium } from "@moebius/testing/browser";
import { describe, expect, test } from "vitest";

/** They start processes, read files, or replace globals. */
const NEEDS_NODE = [
  "device/errors",
  "device/host.browser",
  "device/profile",
  "device/tuning",
  "moe/attention-heads/goldens",
  "ops/self-test",
];
const ROOMS = ["device", "tensor", "kernels", "ops", "nn", "moe", "decode", "optim"];

const folder = fileURLToPath(new URL("..", import.meta.url));
const files = ROOMS.flatMap((room) =>
  readdirSync(`${folder}/test/${room}`, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".test.ts") && !name.endsWith(".slow.test.ts"))
    .map((name) => `${room}/${name}`),
)
  .filter((file) => !NEEDS_NODE.includes(file.replace(".test.ts", "")))
  .map((file) => `test/${file}`);
const report = hasChromium ? await testInChromium(folder, files) : undefined;

describe.skipIf(!report)("in a page", () => {
  test("computes on SwiftShader", () => {
    expect(report?.adapter).toMatch(/swiftshader/i);
  });

  test("every file runs", () => {
    const ran = report?.tests.filter(({ state }) => state !== "skipped") ?? [];
    expect(files.filter((file) => !ran.some(({ name }) => name.startsWith(`${file} > `)))).toEqual([]);
    expect(ran.length).toBeGreaterThan(400);
  });

  for (const { name, state, error } of report?.tests ?? [])
    test.skipIf(state === "skipped")(name, () => {
      if (state === "failed") throw new Error(error);
    });
});
