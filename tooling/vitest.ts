import { defineConfig, type ViteUserConfig } from "vitest/config";

/** `import code from "./kernel.wgsl"` gives the shader's text, in builds and in tests alike. */
const wgsl = () => ({
  name: "wgsl-as-text",
  enforce: "pre" as const,
  transform: (source: string, id: string) =>
    id.endsWith(".wgsl") ? { code: `export default ${JSON.stringify(source)};`, map: null } : null,
});

/** Test settings of one package: one process and one device for all its files. */
export const testConfig = (include = ["test/**/*.test.ts"], testTimeout = 60_000): ViteUserConfig =>
  defineConfig({
    plugins: [wgsl()],
    ssr: { resolve: { conditions: ["@moebius/source", "node", "import", "default"] } },
    test: { testTimeout, hookTimeout: testTimeout, include, exclude: ["**/*.slow.test.ts"], isolate: false, maxWorkers: 1, pool: "forks" },
  });
