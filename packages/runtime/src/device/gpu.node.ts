import os from "node:os";
import {
  type AdapterChoice,
  type AdapterClass,
  type AdapterSearch,
  type HostDescription,
  isSoftware,
} from "./adapter.ts";

/** Dawn's instances must outlive every device: one that is collected takes the process with it. */
const key = Symbol.for("moebius.gpu");
const shared = globalThis as { [key]?: GPU[] };
shared[key] ??= [];
const instances = shared[key];

const isLinuxX64 = process.platform === "linux" && process.arch === "x64";

async function ask(flags: string[]): Promise<{ gpu: GPU; adapter: GPUAdapter | null }> {
  const { create, globals } = await import("webgpu");
  for (const [name, value] of Object.entries(globals)) (globalThis as Record<string, unknown>)[name] ??= value;
  // Mesa warns on stderr when this is unset.
  process.env.XDG_RUNTIME_DIR ??= os.tmpdir();
  // Dawn rounds timestamps to 65 µs, a protection of web pages.
  const gpu = create([...flags, "disable-dawn-features=timestamp_quantization"]);
  instances.push(gpu);
  try {
    return { gpu, adapter: await gpu.requestAdapter({ powerPreference: "high-performance" }) };
  } catch {
    return { gpu, adapter: null }; // Dawn rejects an adapter name that it does not know
  }
}

/** A way to an adapter: Dawn's flags, and whether the embedded loader has to be put in place first. */
interface Attempt {
  readonly label: string;
  readonly flags: string[];
  readonly embedded: boolean;
}

const SYSTEM: Attempt = { label: "the system's graphics driver", flags: [], embedded: false };
const SYSTEM_SOFTWARE: Attempt[] =
  process.platform === "win32"
    ? [{ label: "WARP", flags: ["adapter=Microsoft"], embedded: false }]
    : [{ label: "lavapipe", flags: ["adapter=llvmpipe"], embedded: false }];
const EMBEDDED: Attempt = { label: "the embedded SwiftShader", flags: [], embedded: true };

const ATTEMPTS: Record<AdapterChoice, Attempt[]> = {
  auto: [SYSTEM, ...SYSTEM_SOFTWARE, EMBEDDED],
  hardware: [SYSTEM],
  software: [...SYSTEM_SOFTWARE, SYSTEM],
  embedded: [EMBEDDED],
};

/** Finds an adapter through Dawn: hardware, the system's software renderer, the embedded one, as `choice` allows. */
export async function findAdapter(choice: AdapterChoice): Promise<AdapterSearch> {
  const tried: string[] = [];
  for (const { label, flags, embedded } of ATTEMPTS[choice]) {
    const obstacle = await prepare(embedded);
    if (obstacle) {
      tried.push(`${label}: ${obstacle}`);
      continue;
    }
    const { gpu, adapter } = await ask(flags);
    const found = adapter ? `${adapter.info.description || adapter.info.device}` : "no adapter";
    const adapterClass: AdapterClass = embedded
      ? "embedded"
      : adapter && isSoftware(adapter.info)
        ? "software"
        : "hardware";
    if (adapter && (choice === "auto" || choice === adapterClass))
      return { adapter, adapterClass, languageFeatures: gpu.wgslLanguageFeatures as ReadonlySet<string> };
    tried.push(`${label}: ${adapter ? `${found} is ${adapterClass}, not ${choice}` : found}`);
  }
  return { adapter: undefined, tried, remedy: remedy(choice) };
}

/** @returns why the attempt cannot be made, or undefined when it can */
async function prepare(embedded: boolean): Promise<string | undefined> {
  if (!isLinuxX64) return embedded ? "made for Linux on x64 only" : undefined;
  const software = await softwareAdapter();
  if (!embedded) return software && !software.hasVulkanLoader() ? "no Vulkan loader (libvulkan.so.1)" : undefined;
  if (!software) return "the package @moebius/software-adapter is not installed";
  try {
    return software.useSoftwareAdapter()
      ? undefined
      : "the package @sparticuz/chromium, which carries it, is not installed";
  } catch (error) {
    return (error as Error).message;
  }
}

/** A package that may be absent: optional, and only for Linux on x64. */
function softwareAdapter() {
  return import("@moebius/software-adapter").catch(() => undefined);
}

/** For people who wonder which adapter they get. Ask before `findAdapter`, which may load a Vulkan loader of its own. */
export async function describeHost(): Promise<HostDescription> {
  return {
    platform: `${process.platform} ${process.arch}`,
    vulkanLoader: isLinuxX64 ? (await softwareAdapter())?.hasVulkanLoader() : undefined,
    requestedAdapter: environmentAdapter(),
  };
}

function remedy(choice: AdapterChoice): string {
  if (choice !== "auto")
    return `the adapter "${choice}" was asked for (option adapter or MOEBIUS_ADAPTER): leave it out to take any`;
  if (process.platform === "linux")
    return "install a Vulkan driver: the GPU's own, or Debian's and Ubuntu's mesa-vulkan-drivers (Mesa 25 or later) for the CPU";
  return "update the graphics driver; Dawn needs Metal (macOS), D3D12 (Windows) or Vulkan (Linux)";
}

const cell = new Int32Array(new SharedArrayBuffer(4));
let waiting = 0;
let turns = 0;
let isResting = false;

/**
 * Waits for a GPU promise. Dawn polls without pause, which takes a whole core from a software adapter that computes on the
 * same cores; waiting `gently` sleeps up to 1 ms between polls and is 1.4 to 1.7 times faster end to end on two cores.
 */
export function settle<T>(promise: Promise<T>, gently: boolean): Promise<T> {
  if (!gently) return promise;
  turns = 0;
  waiting++;
  if (!isResting) setImmediate(rest);
  isResting = true;
  return promise.finally(() => {
    waiting--;
  });
}

/** One loop for all who wait; the first turns do not sleep, so that short waits stay short. */
function rest(): void {
  isResting = waiting > 0;
  if (!isResting) return;
  if (++turns > 3) Atomics.wait(cell, 0, 0, 1);
  setImmediate(rest);
}

export function environmentAdapter(): string | undefined {
  return process.env.MOEBIUS_ADAPTER || undefined;
}

/** A software adapter's memory is the machine's, and it allocates lazily: the system kills the process before any error comes. */
export function memoryBudget(isHardware: boolean): number {
  return isHardware ? 64 * 2 ** 30 : Math.floor(process.availableMemory() * 0.9);
}
