import { createProgram, run } from "@moebius/cli";
import { printParity, runParity } from "./parity/parity.ts";

const program = createProgram({
  name: "bench",
  description: "Parity with the reference implementations, and benchmarks.",
  version: "0.1.0",
  examples: [{ command: "npm run parity -- goldens/time-moe-small", does: "compare our Time-MoE with the reference's outputs" }],
});

program
  .command("parity")
  .description("run golden cases (config.json, model.safetensors, io.safetensors) and compare every stored tensor")
  .argument("<folder...>", "golden folders")
  .action(async (folders: string[], _, command) => {
    const reports = await runParity(folders);
    printParity(reports, command.optsWithGlobals().json);
    if (reports.some((report) => !report.passed)) process.exitCode = 1;
  });

await run(program);
