import type { DeviceBuffer } from "./pool.ts";
import type { DeviceRecord } from "./record-list.ts";

/** Takes records in place of the device's list. */
export interface Recorder {
  add(record: DeviceRecord, buffers: readonly DeviceBuffer[]): void;
}
