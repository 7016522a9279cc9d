import { ValueError } from "@moebius/runtime/device";

/** @throws {ValueError} naming the option, unless its value is a positive integer */
export function expectCount(option: string, value: number): void {
  if (!Number.isInteger(value) || value < 1) throw new ValueError(`${option} must be a positive integer, got ${value}`);
}
