import type { Device } from "@moebius/runtime/device";
import type { Golden } from "./golden.ts";

/** A model whose goldens we can run. */
export interface ParitySystem {
  name: string;
  /** Tells by config.json's contents, or the folder's name up to the variant. */
  recognises(golden: Golden): boolean;
  run(golden: Golden, device: Device): Promise<void>;
}
