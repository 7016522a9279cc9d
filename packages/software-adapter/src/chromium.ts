import { existsSync } from "node:fs";
import path from "node:path";
import { decompress, readArchive } from "./archive.ts";
import { findCarrier } from "./carrier.ts";
import { unpackOnce } from "./unpack.ts";

const INSTALLED = "/usr/bin/chromium";
const EXECUTABLE = "chromium";
const LIBRARIES = "lib";
/** Without a description of the fonts, Chromium draws no text. */
const FONTS_DESCRIPTION = "fonts.conf";
const ARCHIVES = ["al2023.tar.br", "fonts.tar.br", "swiftshader.tar.br"] as const;

/** A Chromium whose WebGPU computes on SwiftShader, and what it is started with. */
export interface Chromium {
  readonly executable: string;
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

/**
 * Finds the system's Chromium, or else unpacks the one that carries the software adapter into the user's cache: once, about
 * 200 MB and some seconds.
 * @returns undefined on other platforms than Linux x64, and where neither is installed
 * @throws a file system error when the cache cannot be written; {SoftwareAdapterError} for a damaged archive
 */
export function findChromium(): Chromium | undefined {
  if (process.platform !== "linux" || process.arch !== "x64") return undefined;
  // Root gets no sandbox from Chromium.
  const args = [...(process.getuid?.() === 0 ? ["--no-sandbox"] : []), "--enable-unsafe-webgpu"];
  if (existsSync(INSTALLED)) return { executable: INSTALLED, args, environment: {} };
  const carrier = findCarrier();
  const cache = carrier?.caches[0];
  if (!carrier || !cache || !existsSync(path.join(carrier.folder, `${EXECUTABLE}.br`))) return undefined;
  const folder = path.join(cache, `chromium-${carrier.version}`);
  unpackChromium(carrier.folder, folder);
  return {
    executable: path.join(folder, EXECUTABLE),
    args,
    environment: {
      LD_LIBRARY_PATH: path.join(folder, LIBRARIES),
      FONTCONFIG_FILE: path.join(folder, FONTS_DESCRIPTION),
    },
  };
}

function unpackChromium(archives: string, folder: string): void {
  const required = [EXECUTABLE, `${LIBRARIES}/libnss3.so`, "libvk_swiftshader.so", "vk_swiftshader_icd.json"];
  unpackOnce(folder, [...required, FONTS_DESCRIPTION], () => {
    const files = new Map(ARCHIVES.flatMap((name) => [...readArchive(path.join(archives, name))]));
    files.set(EXECUTABLE, decompress(path.join(archives, `${EXECUTABLE}.br`)));
    return files.set(FONTS_DESCRIPTION, Buffer.from(fontsDescription(folder)));
  });
}

const fontsDescription = (folder: string) => `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig><dir>${folder}/fonts</dir><cachedir>${folder}/font-cache</cachedir></fontconfig>
`;
