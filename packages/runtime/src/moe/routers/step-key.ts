import { ValueError } from "../../device/errors.ts";
import type { RandomKey } from "../../tensor/philox.ts";
import type { RouteContext } from "./router.ts";

/** The step's randomness for one use of a router. @throws {ValueError} when the context has none */
export function stepKey(router: string, use: string, { key }: RouteContext): RandomKey {
  if (!key) throw new ValueError(`${router}: draws ${use} in training and needs context.key, the step's random key`);
  return key.split(use);
}
