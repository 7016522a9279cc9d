import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

const ARCHIVE = "swiftshader.tar.br";

/** The npm package that carries the Vulkan loader and SwiftShader, as installed. */
export interface Carrier {
  /** tar file, brotli-compressed */
  readonly archive: string;
  readonly version: string;
  /** the cache folder of the node_modules that holds the package */
  readonly modulesCache: string;
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
  return { archive: path.join(folder, "bin", ARCHIVE), version, modulesCache: path.resolve(folder, "../../.cache") };
}
