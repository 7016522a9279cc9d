// Lets node (through tsx) import a .wgsl file as its text, as the build and the tests do.
import { register } from "node:module";

const load = `import { readFile } from "node:fs/promises";
export const load = async (url, context, next) => url.endsWith(".wgsl")
  ? { format: "module", shortCircuit: true, source: "export default " + JSON.stringify(await readFile(new URL(url), "utf8")) }
  : next(url, context);`;
register(`data:text/javascript,${encodeURIComponent(load)}`);
