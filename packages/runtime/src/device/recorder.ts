import type { DeviceBuffer } from "./pool.ts";
import type { DeviceRecord } from "./record-list.ts";

/** Takes records in place of the device's list. */
export interface Recorder {
  add(record: DeviceRecord, buffers: readonly DeviceBuffer[]): void;
  /** Takes over a buffer with host data that its records copy from. */
  own(staging: GPUBuffer): void;
}
