export { describeHost } from "#gpu";
export { ADAPTER_CHOICES, type AdapterChoice, type AdapterClass, type HostDescription } from "./adapter.ts";
export { Capture } from "./capture.ts";
export type { DeviceDescription } from "./describe.ts";
export { Device } from "./device.ts";
export * from "./errors.ts";
export { type Binding, type Dispatch, defineKernel, grid1d, type Kernel } from "./kernel.ts";
export type { DeviceBuffer, MemoryUse, Storage } from "./pool.ts";
export { type Defines, preprocess } from "./preprocess.ts";
export {
  type IdealWork,
  type KernelProfile,
  type MeasuredLimits,
  type ProfileEvent,
  type ProfileOptions,
  type ProfileReport,
  profile,
  type Sparsity,
} from "./profile.ts";
export { type DeviceOptions, requestDevice } from "./request-device.ts";
export { writeTrace } from "./trace.ts";
export { readTunings, saveTuning, type Tuning, type TuningRow, tuningFile } from "./tuning.ts";
