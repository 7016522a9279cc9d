import type { Plugin } from "vite";

/** `import code from "./kernel.wgsl"` gives the shader's text, in bundles and in tests alike. */
export const wgsl = (): Plugin => ({
  name: "wgsl-as-text",
  enforce: "pre",
  transform: (source, id) =>
    id.endsWith(".wgsl") ? { code: `export default ${JSON.stringify(source)};`, map: null } : null,
});
