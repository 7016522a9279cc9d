import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";

const ARCHIVE = "swiftshader.tar.br";

/** The npm package that carries the Vulkan loader and SwiftShader, and the Chromium they belong to, as installed. */
export interface Carrier {
  /** where all its archives lie */
  readonly folder: string;
  /** the driver's: a tar file, brotli-compressed */
  readonly archive: string;
  readonly version: string;
  /** Where to unpack, best first: the user's cache, that of the node_modules that holds the package. */
  readonly caches: readonly string[];
}

/** @returns undefined when the package is not installed, or comes without its archive */
export function findCarrier(): Carrier | undefined {
  let folder: string;
  try {
    folder = path.dirname(createRequire(import.meta.url).resolve("@sparticuz/chromium"));
  } catch {
    return undefined;
  }
  // The entry point lies some folders deep, each of which may have a package.json of its own.
  while (!existsSync(path.join(folder, "bin", ARCHIVE))) {
    if (folder === path.dirname(folder)) return undefined;
    folder = path.dirname(folder);
  }
  const { version } = JSON.parse(readFileSync(path.join(folder, "package.json"), "utf8")) as { version: string };
  const bin = path.join(folder, "bin");
  const userCache = process.env.XDG_CACHE_HOME || path.join(os.homedir(), ".cache");
  const caches = [userCache, path.resolve(folder, "../../.cache")].map((cache) => path.join(cache, "moebius"));
  return { folder: bin, archive: path.join(bin, ARCHIVE), version, caches };
}
