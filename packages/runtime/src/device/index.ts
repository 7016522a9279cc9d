export { ADAPTER_CHOICES, type AdapterChoice, type AdapterClass } from "./adapter.ts";
export { Capture } from "./capture.ts";
export { Device, type DeviceDescription, type DeviceOptions, requestDevice } from "./device.ts";
export * from "./errors.ts";
export { type Binding, type Dispatch, defineKernel, grid1d, type Kernel } from "./kernel.ts";
export type { DeviceBuffer, MemoryUse } from "./pool.ts";
export { type Defines, preprocess } from "./preprocess.ts";
