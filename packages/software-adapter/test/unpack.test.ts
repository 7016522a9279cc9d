import { mkdirSync, readdirSync, readFileSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { brotliCompressSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { DRIVER_FILES } from "../src/archive.ts";
import { findCarrier } from "../src/carrier.ts";
import { SoftwareAdapterError } from "../src/errors.ts";
import { unpackDriver } from "../src/unpack.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const archive = findCarrier()?.archive ?? "";

describe.skipIf(process.platform !== "linux" || process.arch !== "x64")("unpackDriver", () => {
  test("puts the loader, SwiftShader and its description in place, and nothing else", () => {
    const cache = temporaryFolder();
    unpackDriver(archive, path.join(cache, "driver"));
    expect(readdirSync(cache)).toEqual(["driver"]);
    expect(readdirSync(path.join(cache, "driver")).sort()).toEqual([...DRIVER_FILES].sort());
    const description = JSON.parse(readFileSync(path.join(cache, "driver/vk_swiftshader_icd.json"), "utf8"));
    expect(description.ICD.library_path).toBe("./libvk_swiftshader.so");
  });

  test("a second time leaves the files as they are", () => {
    const folder = path.join(temporaryFolder(), "driver");
    unpackDriver(archive, folder);
    const before = statSync(path.join(folder, "libvulkan.so.1"));
    unpackDriver(archive, folder);
    const after = statSync(path.join(folder, "libvulkan.so.1"));
    expect([after.ino, after.mtimeMs]).toEqual([before.ino, before.mtimeMs]);
  });

  test("a folder that lost a file is filled again", () => {
    const cache = temporaryFolder();
    const folder = path.join(cache, "driver");
    unpackDriver(archive, folder);
    unlinkSync(path.join(folder, "libvk_swiftshader.so"));
    unpackDriver(archive, folder);
    expect(readdirSync(folder)).toContain("libvk_swiftshader.so");
    expect(readdirSync(cache)).toEqual(["driver"]);
  });

  test("a damaged archive is a typed error that names it, and leaves nothing behind", () => {
    const cache = temporaryFolder();
    const damaged = path.join(temporaryFolder(), "damaged.tar.br");
    writeFileSync(damaged, readFileSync(archive).subarray(0, 1000));
    expect(() => unpackDriver(damaged, path.join(cache, "driver"))).toThrow(SoftwareAdapterError);
    expect(() => unpackDriver(damaged, path.join(cache, "driver"))).toThrow(/damaged\.tar\.br is damaged/);
    expect(readdirSync(cache)).toEqual([]);
  });

  test("an archive without the driver is a typed error that names the missing file", () => {
    const folder = temporaryFolder();
    const empty = path.join(folder, "empty.tar.br");
    writeFileSync(empty, brotliCompressSync(Buffer.alloc(1024)));
    mkdirSync(path.join(folder, "cache"));
    expect(() => unpackDriver(empty, path.join(folder, "cache/driver"))).toThrow(/holds no libvulkan\.so\.1/);
  });
});
