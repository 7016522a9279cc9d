import { readFileSync } from "node:fs";
import path from "node:path";
import { brotliDecompressSync } from "node:zlib";
import { SoftwareAdapterError } from "./errors.ts";

/** The Vulkan loader, SwiftShader, and the description by which the one finds the other (it names its neighbour file). */
export const LOADER = "libvulkan.so.1";
export const DRIVER_DESCRIPTION = "vk_swiftshader_icd.json";
export const DRIVER_FILES = [LOADER, "libvk_swiftshader.so", DRIVER_DESCRIPTION] as const;

const TAR_BLOCK = 512;

function* tarFiles(tar: Buffer): Generator<[file: string, data: Buffer]> {
  for (let at = 0; at + TAR_BLOCK <= tar.length && tar[at] !== 0; ) {
    const name = tar.toString("latin1", at, at + 100).replace(/\0.*/s, "");
    const sizeBytes = Number.parseInt(tar.toString("latin1", at + 124, at + 136), 8);
    if (!name.endsWith("/")) yield [name, tar.subarray(at + TAR_BLOCK, at + TAR_BLOCK + sizeBytes)];
    at += TAR_BLOCK * (1 + Math.ceil(sizeBytes / TAR_BLOCK));
  }
}

/** @throws {SoftwareAdapterError} when the archive is damaged */
export function decompress(archive: string): Buffer {
  try {
    return brotliDecompressSync(readFileSync(archive));
  } catch (error) {
    throw new SoftwareAdapterError(`${archive} is damaged (${(error as Error).message}): install the packages again`);
  }
}

/**
 * Lists the files in an archive of the carrier's.
 * @param archive a tar file, brotli-compressed
 * @returns path within the archive to content
 * @throws {SoftwareAdapterError} when the archive is damaged
 */
export function readArchive(archive: string): Map<string, Buffer> {
  return new Map(tarFiles(decompress(archive)));
}

/**
 * Reads the driver's files out of the carrier's archive.
 * @returns name to content, one entry for each of DRIVER_FILES
 * @throws {SoftwareAdapterError} when the archive is damaged or lacks one of them
 */
export function readDriverFiles(archive: string): Map<string, Buffer> {
  const all = new Map([...readArchive(archive)].map(([file, data]) => [path.basename(file), data]));
  const files = new Map<string, Buffer>();
  for (const name of DRIVER_FILES) {
    const data = all.get(name);
    if (!data) throw new SoftwareAdapterError(`${archive} holds no ${name}: install @sparticuz/chromium 147.0.0`);
    files.set(name, data);
  }
  return files;
}
