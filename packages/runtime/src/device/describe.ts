import type { AdapterClass } from "./adapter.ts";

export interface DeviceDescription {
  /** The adapter's own name. */
  adapter: string;
  adapterClass: AdapterClass;
  vendor: string;
  architecture: string;
  features: string[];
  /** 0: subgroups are not there, or have no fixed size. */
  subgroupSize: number;
  /** Whether kernels get their sizes without a uniform buffer. */
  immediates: boolean;
  limits: {
    maxBufferBytes: number;
    maxBindingBytes: number;
    maxStorageBuffers: number;
    maxInvocations: number;
    maxWorkgroupBytes: number;
  };
  memoryBudgetBytes: number;
}

/** What the device itself does not know. */
interface Circumstances {
  readonly adapterClass: AdapterClass;
  readonly subgroups: boolean;
  readonly immediates: boolean;
  readonly memoryBudgetBytes: number;
}

export function describeDevice(
  { limits, features }: GPUDevice,
  info: GPUAdapterInfo,
  { adapterClass, subgroups, immediates, memoryBudgetBytes }: Circumstances,
): DeviceDescription {
  return {
    // A browser names the vendor and the architecture only.
    adapter: info.description || info.device || `${info.vendor} ${info.architecture}`.trim(),
    adapterClass,
    vendor: info.vendor,
    architecture: info.architecture,
    features: [...features].sort(),
    subgroupSize: subgroups ? (info.subgroupMaxSize ?? 0) : 0,
    immediates,
    limits: {
      maxBufferBytes: limits.maxBufferSize,
      maxBindingBytes: limits.maxStorageBufferBindingSize,
      maxStorageBuffers: limits.maxStorageBuffersPerShaderStage,
      maxInvocations: limits.maxComputeInvocationsPerWorkgroup,
      maxWorkgroupBytes: limits.maxComputeWorkgroupStorageSize,
    },
    memoryBudgetBytes,
  };
}
