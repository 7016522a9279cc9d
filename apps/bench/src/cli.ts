import {
  addExamples,
  addProfileOption,
  type Command,
  createProgram,
  doctorCommand,
  positiveInteger,
  run,
} from "@moebius/cli";
import { benchCommand } from "./cases/bench-command.ts";
import { tuneCommand } from "./cases/tune-command.ts";
import { labCommand, labNames } from "./lab/lab-command.ts";
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

const bench = program
  .command("bench", { isDefault: true })
  .description("measure the kernels and models, each in turn with what it is compared to")
  .argument("[names...]", "only cases and peers whose name contains one of these")
  .option("--rounds <n>", "most rounds of which the median is taken", positiveInteger("--rounds"), 9)
  .option("--check", "compare the ratios with the committed ones; exit code 1 when one lost more than 25 %", false)
  .option("--save", "write the ratios, to be committed", false)
  .option("--peers <folder>", "other libraries to compare the MoE layer with (takes minutes)", "../shared/peers")
  .option("--no-peers", "leave the other libraries out")
  .action(async (names: string[], _, command: Command) => benchCommand(names, command.optsWithGlobals()));
addProfileOption(bench);
addExamples(bench, [
  { command: "bench gemm attention --json", does: "some cases, one JSON line a case and reference" },
  { command: "bench --check --no-peers", does: "is anything slower than before, beside its reference?" },
]);

const tune = bench
  .command("tune")
  .description("measure which kernels win on this adapter, and keep that for every later run on it")
  .action(async (_, command: Command) => tuneCommand(command.optsWithGlobals()));
addExamples(tune, [{ command: "bench tune", does: "writes a row for this adapter into the cache folder" }]);

const lab = program
  .command("lab")
  .description(
    "train a router and its baseline on the same text, and write down what its paper claims and what was seen",
  )
  .argument("<system>", labNames.join(", "))
  .option("--seeds <n>", "runs of each variant", positiveInteger("--seeds"), 3)
  .option("--steps <n>", "steps of each run", positiveInteger("--steps"), 400)
  .option("--data <folder>", "holds tinyshakespeare/input.txt.gz", "../shared/data")
  .option("--folder <folder>", "keeps finished runs, which are not trained again", "runs/lab")
  .option("--claims <file>", "where results are written", "docs/claims.md")
  .action(async (system: string, _, command: Command) => labCommand(system, command.optsWithGlobals()));
addExamples(lab, [
  { command: "lab rmoe", does: "the recurrent router beside a linear one, three seeds" },
  { command: "lab gates --seeds 2 --steps 100", does: "every experiment, and docs/gates.png" },
]);

doctorCommand(program);

await run(program);
