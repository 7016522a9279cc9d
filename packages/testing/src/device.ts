import { type Device, requestDevice } from "@moebius/runtime/device";

let shared: Promise<Device> | undefined;

/** The device that all tests of a process share; MOEBIUS_ADAPTER chooses it. */
export function testDevice(): Promise<Device> {
  shared ??= requestDevice({ onNotice: false });
  return shared;
}
