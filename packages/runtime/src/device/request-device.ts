import { environmentAdapter, findAdapter, memoryBudget } from "#gpu";
import { ADAPTER_CHOICES, type AdapterChoice, type FoundAdapter } from "./adapter.ts";
import { Device } from "./device.ts";
import { ConfigError, NoAdapterError } from "./errors.ts";
import { isFor, readTunings } from "./tuning.ts";

export interface DeviceOptions {
  /** Default: the environment's MOEBIUS_ADAPTER, else `auto`. */
  adapter?: AdapterChoice;
  /** Most bytes to allocate on the device. Default: nine tenths of the free memory for a software adapter. */
  memoryBudgetBytes?: number;
  /** Receives one line that says which adapter runs. Default: standard error, once a process; `false` for silence. */
  onNotice?: ((line: string) => void) | false;
}

const LIMITS = [
  "maxStorageBufferBindingSize",
  "maxBufferSize",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxStorageBuffersPerShaderStage",
] as const;
const FEATURES = ["shader-f16", "subgroups", "timestamp-query"] as const;

let noticed = false;

/**
 * Answers with a device that computes: the browser's own, a hardware adapter through Dawn, the system's software Vulkan, or the
 * embedded software adapter, in this order.
 * @throws {NoAdapterError} naming what was tried and what the user can do
 */
export async function requestDevice(options: DeviceOptions = {}): Promise<Device> {
  const choice = options.adapter ?? environmentAdapter() ?? "auto";
  if (!isAdapterChoice(choice))
    throw new ConfigError(`adapter (or MOEBIUS_ADAPTER) is "${choice}"; expected one of ${ADAPTER_CHOICES.join(", ")}`);
  const found = await findAdapter(choice);
  if (!found.adapter)
    throw new NoAdapterError(`no WebGPU adapter (${found.tried.join("; ")}); ${found.remedy}`, found.tried);
  const device = await openDevice(found, options.memoryBudgetBytes);
  const { adapter, adapterClass } = device.describe();
  const line = `moebius: computing on ${adapter} (${adapterClass})`;
  if (options.onNotice) options.onNotice(line);
  else if (options.onNotice !== false && !noticed) {
    noticed = true;
    console.error(line);
  }
  return device;
}

/** Opens an adapter with all the limits and features that it has of those that kernels use. An adapter opens once. */
export async function openDevice(
  found: FoundAdapter,
  memoryBudgetBytes: number = memoryBudget(found.adapterClass === "hardware"),
): Promise<Device> {
  const { adapter } = found;
  const gpu = await adapter.requestDevice({
    label: "moebius",
    requiredFeatures: FEATURES.filter((feature) => adapter.features.has(feature)),
    requiredLimits: Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]])),
  });
  const device = new Device(gpu, found, memoryBudgetBytes);
  const own = (await readTunings()).find((row) => isFor(row, device.describe()));
  if (own) device.tuning = own;
  return device;
}

function isAdapterChoice(name: string): name is AdapterChoice {
  return (ADAPTER_CHOICES as readonly string[]).includes(name);
}
