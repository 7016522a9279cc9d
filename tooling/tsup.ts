import { defineConfig } from "tsup";

/** Build settings of one package. `entry` lists its source files, one an export. */
export const library = (entry: Record<string, string>) =>
  defineConfig({
    entry,
    format: "esm",
    target: "es2022",
    sourcemap: true,
    clean: true,
    dts: false, // tsc writes them: see tsconfig.build.json
    loader: { ".wgsl": "text" },
    external: [/^#/], // resolved by the host's import condition, not here
  });
