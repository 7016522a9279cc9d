import { createProgram, doctorCommand, positiveInteger, run } from "@moebius/cli";
import { printBench, printRow, runBench } from "./cases/bench.ts";
import { printParity, runParity } from "./parity/parity.ts";

const program = createProgram({
  name: "bench",
  description: "Parity with the reference implementations, and benchmarks.",
  version: "0.1.0",
  examples: [
    { command: "npm run parity -- goldens/time-moe-small", does: "compare our Time-MoE with the reference's outputs" },
    { command: "npm run bench -- attention --json", does: "measure the attention cases, one JSON line each" },
  ],
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

program
  .command("bench", { isDefault: true })
  .description("measure the kernels and models, each in turn with what it is compared to")
  .argument("[filter]", "only cases whose name contains this")
  .option("--rounds <n>", "rounds of which the median is taken", positiveInteger("--rounds"), 9)
  .action(async (filter: string | undefined, { rounds }: { rounds: number }, command) => {
    const { json } = command.optsWithGlobals();
    const rows = await runBench({
      ...(filter === undefined ? {} : { filter }),
      rounds,
      ...(json ? { onRow: printRow } : {}),
    });
    if (!json) printBench(rows);
  });

doctorCommand(program);

await run(program);
