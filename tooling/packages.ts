import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));

type Conditions = string | { readonly [condition: string]: Conditions };

export interface Package {
  /** as published, for example @moebius/runtime */
  readonly name: string;
  /** relative to the repository, for example packages/runtime */
  readonly folder: string;
  readonly exports: Readonly<Record<string, Conditions>>;
  readonly imports: Readonly<Record<string, Conditions>>;
}

/** The packages and apps of this repository. */
export function listPackages(): Package[] {
  return ["packages", "apps"].flatMap((parent) =>
    readdirSync(path.join(root, parent))
      .map((name) => path.posix.join(parent, name))
      .filter((folder) => existsSync(path.join(root, folder, "package.json")))
      .map((folder) => {
        const manifest = JSON.parse(readFileSync(path.join(root, folder, "package.json"), "utf8"));
        return { name: manifest.name, folder, exports: manifest.exports ?? {}, imports: manifest.imports ?? {} };
      }),
  );
}

/** The source files that an entry of `exports` or `imports` can stand for, relative to the package: one a host. */
export function sourcesOf(entry: Conditions | undefined): string[] {
  if (entry === undefined) return [];
  if (typeof entry === "string") return [entry];
  const sources = entry["@moebius/source"] ?? entry.default;
  return sources === undefined || typeof sources === "string"
    ? sourcesOf(sources)
    : Object.values(sources).flatMap(sourcesOf);
}

/** Files below `folder` (relative to the repository) whose names end in `ending`; none when there is no such folder. */
export function listFiles(folder: string, ending: string): string[] {
  if (!existsSync(path.join(root, folder))) return [];
  return readdirSync(path.join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(ending))
    .map((file) => path.posix.join(folder, file.split(path.sep).join("/")))
    .sort();
}
