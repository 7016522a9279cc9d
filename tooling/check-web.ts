// `npm run check:web`: every package bundles for a web page, and no Node module or Dawn is left in the bundle.
import { builtinModules } from "node:module";
import path from "node:path";
import { build, type Plugin, type Rolldown } from "vite";
import { listPackages, type Package, root, sourcesOf } from "./packages.ts";
import { wgsl } from "./wgsl.ts";

/** Node programs, or made of what only Node has; everything else must run in a page. */
const NODE_ONLY: readonly string[] = [
  "packages/software-adapter", // loads shared libraries
  "packages/testing", // reads goldens from the disk
  "packages/cli", // the terminal
  "apps/forecast",
  "apps/bench",
];

const isNodeOnly = (specifier: string) =>
  specifier.startsWith("node:") ||
  builtinModules.includes(specifier) ||
  specifier === "webgpu" ||
  specifier === "@moebius/software-adapter";

/** Leaves Node's modules and Dawn as imports and notes who asked for them. */
function noteNodeOnly(importers: Map<string, string>): Plugin {
  return {
    name: "note-node-only",
    enforce: "pre",
    resolveId(specifier, importer) {
      if (!isNodeOnly(specifier)) return null;
      if (importer) importers.set(specifier, path.relative(root, importer));
      return { id: specifier, external: true };
    },
  };
}

/** @returns what the package's bundle still imports, each with the file that asks for it */
async function leftovers({ folder, exports }: Package): Promise<string[]> {
  const importers = new Map<string, string>();
  const entry = Object.keys(exports)
    .filter((name) => !name.endsWith(".json"))
    .flatMap((name) => sourcesOf(exports[name]).map((source) => path.join(root, folder, source)));
  const outputs = await build({
    root: path.join(root, folder),
    configFile: false,
    logLevel: "error",
    plugins: [noteNodeOnly(importers), wgsl()],
    resolve: { conditions: ["@moebius/source", "browser", "module", "import", "default"] },
    build: { write: false, minify: false, target: "es2022", lib: { entry, formats: ["es"] } },
  });
  const chunks = (Array.isArray(outputs) ? outputs : [outputs]).flatMap((built) =>
    "output" in built ? built.output : [],
  );
  const own = new Set(chunks.map(({ fileName }) => fileName));
  const imported = chunks
    .filter((chunk): chunk is Rolldown.OutputChunk => chunk.type === "chunk")
    .flatMap((chunk) => [...chunk.imports, ...chunk.dynamicImports]);
  return [...new Set(imported)]
    .filter((specifier) => !own.has(specifier))
    .map((specifier) => `${specifier} (imported by ${importers.get(specifier) ?? "an unknown file"})`);
}

for (const unit of listPackages()) {
  if (NODE_ONLY.includes(unit.folder)) continue;
  try {
    const left = await leftovers(unit);
    for (const specifier of left) console.error(`${unit.folder}: a web page has no ${specifier}`);
    if (left.length > 0) process.exitCode = 1;
    else console.log(`${unit.folder}: bundles for the web`);
  } catch (error) {
    console.error(`${unit.folder}: does not bundle: ${error instanceof Error ? error.message : error}`);
    process.exitCode = 1;
  }
}
