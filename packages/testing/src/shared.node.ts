import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The folder beside the repository with reference outputs and data sets; a user's clone has none. */
const folder = fileURLToPath(new URL("../../../../shared/", import.meta.url));

export const hasShared = existsSync(folder);

/** Path of a file or folder of ../shared. Tests that need one use `test.skipIf(!hasShared)`. */
export function sharedPath(name: string): string {
  return `${folder}${name}`;
}
