/**
 * The rooms of the house and what each may import; itself always. A room is a package, or a folder of packages/runtime/src.
 * `runtime/*` stands for all of the runtime's rooms, `lazily` for what a room may load with `import()` only.
 */
export const LAYERS: Readonly<Record<string, { mayImport: readonly string[]; lazily?: readonly string[] }>> = {
  "software-adapter": { mayImport: [] },
  data: { mayImport: [] },

  "runtime/device": { mayImport: [], lazily: ["software-adapter"] },
  "runtime/io": { mayImport: ["runtime/nn", "runtime/tensor", "runtime/device"] },
  "runtime/tensor": { mayImport: ["runtime/device"] },
  "runtime/kernels": { mayImport: ["runtime/tensor", "runtime/device"] },
  "runtime/ops": { mayImport: ["runtime/kernels", "runtime/tensor", "runtime/device"] },
  "runtime/nn": { mayImport: ["runtime/ops", "runtime/kernels", "runtime/tensor", "runtime/device"] },
  "runtime/moe": { mayImport: ["runtime/nn", "runtime/ops", "runtime/kernels", "runtime/tensor", "runtime/device"] },
  "runtime/decode": { mayImport: ["runtime/nn", "runtime/ops", "runtime/kernels", "runtime/tensor", "runtime/device"] },
  "runtime/optim": { mayImport: ["runtime/nn", "runtime/ops", "runtime/kernels", "runtime/tensor", "runtime/device"] },
  "runtime/train": { mayImport: ["runtime/*"] },

  testing: { mayImport: ["runtime/*", "software-adapter"] },
  cli: { mayImport: ["runtime/*"] },
  timeseries: { mayImport: ["data", "runtime/*"] },
  llm: { mayImport: ["data", "runtime/*"] },

  "apps/forecast": { mayImport: ["cli", "timeseries", "data", "runtime/*"] },
  "apps/bench": { mayImport: ["cli", "timeseries", "llm", "data", "runtime/*"] },
};

/** What the tests of any room may import beside their own package and what that may import. */
export const TESTS_MAY_IMPORT: readonly string[] = ["testing"];
