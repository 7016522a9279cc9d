import path from "node:path";
import { DRIVER_DESCRIPTION, LOADER } from "./archive.ts";
import { findCarrier } from "./carrier.ts";
import { SoftwareAdapterError } from "./errors.ts";
import { unpackDriver } from "./unpack.ts";
import { pinLibrary } from "./vulkan-loader.ts";

/**
 * Makes the embedded software adapter (SwiftShader, with its own Vulkan loader) the one that Dawn finds next: unpacks it
 * into the user's cache and sets VK_DRIVER_FILES for this process. Call it on the main thread, before any worker starts,
 * and before Dawn's `create`; objects that Dawn created earlier do not see it.
 * @returns false on other platforms than Linux x64, and where the package that carries the files is not installed
 * @throws {SoftwareAdapterError} when no cache folder can hold the files, they do not load, or the archive is damaged
 */
export function useSoftwareAdapter(): boolean {
  if (process.platform !== "linux" || process.arch !== "x64") return false;
  const carrier = findCarrier();
  if (!carrier) return false;
  process.env.VK_DRIVER_FILES = installDriver(carrier.archive, `swiftshader-${carrier.version}`, carrier.caches);
  return true;
}

/**
 * Unpacks and loads the driver in the first of `caches` that allows it: one may be read-only, or mounted noexec.
 * @returns the path of the driver's description, for VK_DRIVER_FILES
 * @throws {SoftwareAdapterError} when none does, with the reason of each
 */
export function installDriver(archive: string, name: string, caches: readonly string[]): string {
  const reasons: string[] = [];
  for (const cache of caches) {
    const folder = path.join(cache, name);
    try {
      unpackDriver(archive, folder);
      pinLibrary(path.join(folder, LOADER));
      return path.join(folder, DRIVER_DESCRIPTION);
    } catch (error) {
      if (error instanceof SoftwareAdapterError) throw error;
      reasons.push(`${cache}: ${error instanceof Error ? error.message : error}`);
    }
  }
  throw new SoftwareAdapterError(
    `the embedded software adapter needs a cache folder that can be written and may hold executable files ` +
      `(${reasons.join("; ")}): set XDG_CACHE_HOME to one`,
  );
}
