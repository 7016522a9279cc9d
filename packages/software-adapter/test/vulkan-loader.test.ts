import { describe, expect, test } from "vitest";
import { hasVulkanLoader, isForeignSystem, pinLibrary } from "../src/vulkan-loader.ts";

describe("pinLibrary", () => {
  test.skipIf(process.platform !== "linux")("a library that does not exist is the loader's own error", () => {
    expect(() => pinLibrary("/no/such/libvulkan.so.1")).toThrow(/no\/such\/libvulkan\.so\.1/);
  });
});

describe("isForeignSystem", () => {
  test.each([
    "/lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.17' not found (required by libvulkan.so.1)", // glibc
    "libgcc_s.so.1: cannot open shared object file: No such file or directory",
    "Error loading shared library ld-linux-x86-64.so.2: No such file or directory (needed by libvulkan.so.1)", // musl
  ])("is true for: %s", (message) => {
    expect(isForeignSystem(message)).toBe(true);
  });

  test.each([
    "libvulkan.so.1: cannot open shared object file: No such file or directory",
    "libvulkan.so.1: failed to map segment from shared object: Operation not permitted", // noexec
    "libvulkan.so.1: file too short",
  ])("is false for: %s", (message) => {
    expect(isForeignSystem(message)).toBe(false);
  });
});

describe("hasVulkanLoader", () => {
  test("says the same when asked twice", () => {
    expect(hasVulkanLoader()).toBe(hasVulkanLoader());
  });
});
