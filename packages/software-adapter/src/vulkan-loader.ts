import { SoftwareAdapterError } from "./errors.ts";

const RTLD_NOW = 2;
const RTLD_NODELETE = 0x1000;

/**
 * Loads a shared library for the life of the process, so that Dawn's later dlopen by its soname finds it.
 * Node rejects a library that is no addon and closes it again; RTLD_NODELETE keeps it loaded all the same.
 * @param file a path, or a soname that the system's search finds
 * @throws the loader's error when the library cannot be loaded; {SoftwareAdapterError} when the C library is too old for it
 */
export function pinLibrary(file: string): void {
  try {
    process.dlopen({ exports: {} }, file, RTLD_NOW | RTLD_NODELETE);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    if (/did not self-register/.test(message)) return;
    if (isForeignSystem(message))
      throw new SoftwareAdapterError(
        "the embedded software adapter needs glibc and libgcc_s (Debian 12, Ubuntu 22.04 or later; not Alpine), " +
          `but ${file} does not load: ${message}`,
      );
    throw error;
  }
}

/** Tells from the dynamic linker's words that the C library is too old or another one: no other cache folder would help. */
export function isForeignSystem(message: string): boolean {
  return /version [`']GLIBC(XX)?_[\d.]+' not found|(ld-linux-x86-64\.so\.2|libgcc_s\.so\.1): (cannot open|No such)/.test(
    message,
  );
}

/** Whether the system has a Vulkan loader (libvulkan.so.1); asking first spares the user Dawn's warning on stderr. */
export function hasVulkanLoader(): boolean {
  try {
    pinLibrary("libvulkan.so.1");
    return true;
  } catch {
    return false;
  }
}
