import { defineConfig, type ViteUserConfig } from "vitest/config";
import { wgsl } from "./wgsl.ts";

/**
 * Test settings of one package: one process and one device for all its files. `vitest run` takes the quick tests,
 * `vitest run --mode slow` those in *.slow.test.ts. The results also go to .turbo/vitest-<mode>.json.
 */
export const testConfig = () =>
  defineConfig(({ mode }): ViteUserConfig => {
    const slow = mode === "slow";
    const timeoutMs = slow ? 20 * 60_000 : 60_000;
    return {
      plugins: [wgsl()],
      ssr: { resolve: { conditions: ["@moebius/source", "node", "import", "default"] } },
      test: {
        include: [slow ? "test/**/*.slow.test.ts" : "test/**/*.test.ts"],
        exclude: slow ? [] : ["**/*.slow.test.ts"],
        testTimeout: timeoutMs,
        hookTimeout: timeoutMs,
        passWithNoTests: slow,
        isolate: false,
        maxWorkers: 1,
        pool: "forks",
        reporters: ["default", ["json", { outputFile: `.turbo/vitest-${slow ? "slow" : "test"}.json` }]],
      },
    };
  });
