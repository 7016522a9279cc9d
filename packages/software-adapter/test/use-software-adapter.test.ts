import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { DRIVER_FILES } from "../src/archive.ts";
import { findCarrier } from "../src/carrier.ts";
import { SoftwareAdapterError } from "../src/errors.ts";
import { installDriver, useSoftwareAdapter } from "../src/use-software-adapter.ts";
import { computeInChild } from "./run-child.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const isLinuxX64 = process.platform === "linux" && process.arch === "x64";

/** A path at which no folder can be made, whoever runs the test. */
function unusableCache(): string {
  const file = path.join(temporaryFolder(), "a-file");
  writeFileSync(file, "");
  return file;
}

describe.skipIf(!isLinuxX64)("useSoftwareAdapter", () => {
  test("a process finds SwiftShader and computes with it", async () => {
    const cache = temporaryFolder();
    const child = await computeInChild(cache);
    expect(child.used).toBe(true);
    expect(child.description).toContain("SwiftShader");
    expect(child.driverFiles.startsWith(path.join(cache, "moebius", "swiftshader-"))).toBe(true);
    expect(child.doubled).toEqual([2, 4, 6, 8]);
  });

  test("two processes that start at once with an empty cache both compute", async () => {
    const cache = temporaryFolder();
    const children = await Promise.all([computeInChild(cache), computeInChild(cache)]);
    for (const { description, doubled } of children) {
      expect(description).toContain("SwiftShader");
      expect(doubled).toEqual([2, 4, 6, 8]);
    }
  });

  test("a user's cache that cannot be written gives way to the one of node_modules", async () => {
    const child = await computeInChild(unusableCache());
    expect(child.driverFiles.startsWith(findCarrier()?.caches[1] ?? "none")).toBe(true);
    expect(child.doubled).toEqual([2, 4, 6, 8]);
  });
});

describe("useSoftwareAdapter on another platform", () => {
  test("is false and leaves the environment alone", () => {
    const before = process.env.VK_DRIVER_FILES;
    const platform = Object.getOwnPropertyDescriptor(process, "platform") ?? {};
    onTestFinished(() => void Object.defineProperty(process, "platform", platform));
    Object.defineProperty(process, "platform", { ...platform, value: "darwin" });
    expect(useSoftwareAdapter()).toBe(false);
    expect(process.env.VK_DRIVER_FILES).toBe(before);
  });
});

describe.skipIf(!isLinuxX64)("installDriver", () => {
  const archive = findCarrier()?.archive ?? "";

  test("a driver that does not load gives way to the next cache", () => {
    const [first, second] = [temporaryFolder(), temporaryFolder()];
    mkdirSync(path.join(first, "driver"));
    for (const name of DRIVER_FILES) writeFileSync(path.join(first, "driver", name), "not a library");
    const description = installDriver(archive, "driver", [first, second]);
    expect(description).toBe(path.join(second, "driver", "vk_swiftshader_icd.json"));
    expect(existsSync(description)).toBe(true);
  });

  test("without any usable cache the error names each and the remedy", () => {
    const caches = [unusableCache(), unusableCache()];
    const install = () => installDriver(archive, "driver", caches);
    expect(install).toThrow(SoftwareAdapterError);
    expect(install).toThrow(/set XDG_CACHE_HOME/);
    for (const cache of caches) expect(install).toThrow(cache);
  });
});
