// `npm run check:layers`: imports run one way, as the table in layers.ts says, and in no circle. Prints each violation;
// exit code 1 if there is one. Biome finds circles too, but does not follow `#` imports.
import path from "node:path";
import { findCycles } from "./cycles.ts";
import { type Import, importsOf } from "./imports.ts";
import { LAYERS, TESTS_MAY_IMPORT } from "./layers.ts";
import { listFiles, listPackages, type Package, root, sourcesOf } from "./packages.ts";

const packages = listPackages();
const packageOf = (file: string) => packages.find(({ folder }) => file.startsWith(`${folder}/`));

/** The room of a file in src; a test, a bin or a configuration file belongs to its package as a whole. */
function roomOf(file: string): string | undefined {
  const owner = packageOf(file);
  if (!owner) return undefined;
  if (owner.folder.startsWith("apps/")) return owner.folder;
  const name = path.basename(owner.folder);
  if (name !== "runtime") return name;
  const inside = /^src\/([^/]+)\//.exec(file.slice(owner.folder.length + 1));
  return inside ? `runtime/${inside[1]}` : "runtime";
}

/** @returns the files that an import of `file` can mean, none of a third party's; a string tells what is wrong with it */
function targetsOf(file: string, owner: Package, specifier: string): string[] | string {
  if (specifier.startsWith(".")) {
    const target = path.posix.join(path.posix.dirname(file), specifier);
    return packageOf(target) === owner ? [target] : "a path into another package: import the package by its name";
  }
  if (specifier.startsWith("#")) {
    const sources = sourcesOf(owner.imports[specifier]);
    return sources.length > 0
      ? inFolder(owner, sources)
      : `${owner.folder}/package.json has no such entry in "imports"`;
  }
  const other = packages.find(({ name }) => specifier === name || specifier.startsWith(`${name}/`));
  if (!other) return [];
  const sources = sourcesOf(other.exports[`.${specifier.slice(other.name.length)}`]);
  return sources.length > 0 ? inFolder(other, sources) : `${other.folder}/package.json has no such entry in "exports"`;
}

const inFolder = ({ folder }: Package, files: string[]) => files.map((file) => path.posix.join(folder, file));

function allows(rooms: readonly string[], room: string): boolean {
  return rooms.includes(room) || (room.startsWith("runtime/") && rooms.includes("runtime/*"));
}

function violationOf(file: string, owner: Package, target: string, lazy: boolean): string | undefined {
  const [from, to] = [roomOf(file), roomOf(target)];
  if (!from || !to || from === to) return undefined;
  const isTest = file.startsWith(`${owner.folder}/test/`);
  if (isTest && (packageOf(target) === owner || allows(TESTS_MAY_IMPORT, to))) return undefined;
  const rules = from === "runtime" ? LAYERS["runtime/train"] : LAYERS[from];
  if (!rules) return `${from} is no room of tooling/layers.ts: add it there`;
  if (allows(rules.mayImport, to) || (lazy && allows(rules.lazily ?? [], to))) return undefined;
  const lazily = rules.lazily?.length ? `, and with import() ${rules.lazily.join(", ")}` : "";
  return `${from} may not import ${to} (only ${rules.mayImport.join(", ") || "itself"}${lazily})`;
}

const violations: string[] = [];
const importsByFile = new Map<string, string[]>();

function checkImport(file: string, owner: Package, { specifier, line, lazy }: Import): void {
  const targets = targetsOf(file, owner, specifier);
  const wrong =
    typeof targets === "string"
      ? targets
      : targets.map((target) => violationOf(file, owner, target, lazy)).find(Boolean);
  if (wrong) violations.push(`${file}:${line} imports "${specifier}": ${wrong}`);
  if (typeof targets !== "string" && !lazy) importsByFile.get(file)?.push(...targets);
}

for (const owner of packages)
  for (const file of ["src", "test"].flatMap((part) => listFiles(`${owner.folder}/${part}`, ".ts"))) {
    importsByFile.set(file, []);
    for (const found of importsOf(path.join(root, file))) checkImport(file, owner, found);
  }
for (const cycle of findCycles(importsByFile)) violations.push(`a circle of imports: ${cycle.join(" -> ")}`);

for (const violation of violations) console.error(violation);
console.log(`layers: ${importsByFile.size} files, ${violations.length} violations`);
process.exitCode = violations.length > 0 ? 1 : 0;
