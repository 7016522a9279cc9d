import path from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";

// From src/ and from dist/ alike.
const page = fileURLToPath(new URL("../src/page/", import.meta.url));

/**
 * Bundles a module for a web page, from the packages' sources, with "vitest" replaced by what runs in a page.
 * @param code of the module, as if it were a file in `folder`; may import "page-runner"
 * @throws the bundler's error when something asks for what only Node has, naming who does
 */
export async function bundleForPage(code: string, folder: string): Promise<string> {
  const entry = path.join(folder, "page-entry.js");
  const outputs = await build({
    root: folder,
    configFile: false,
    logLevel: "silent",
    plugins: [
      {
        name: "entry-from-memory",
        enforce: "pre",
        resolveId(id) {
          if (id === entry) return entry;
          if (id.startsWith("node:")) this.error(`a page has no ${id}`);
          return null;
        },
        load: (id) => (id === entry ? code : null),
      },
    ],
    resolve: {
      conditions: ["@moebius/source", "browser", "module", "import", "default"],
      alias: { vitest: path.join(page, "vitest.ts"), "page-runner": path.join(page, "run-tests.ts") },
    },
    define: { "process.env.NODE_ENV": '"test"' },
    build: {
      write: false,
      minify: false,
      target: "es2022",
      lib: { entry, formats: ["es"] },
      rolldownOptions: { moduleTypes: { ".wgsl": "text" }, output: { codeSplitting: false } },
    },
  });
  const [built] = Array.isArray(outputs) ? outputs : [outputs];
  const chunk = built && "output" in built ? built.output[0] : undefined;
  if (!chunk) throw new Error(`bundling for a page gave nothing (${folder})`);
  return chunk.code;
}
