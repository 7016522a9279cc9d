import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import path from "node:path";
import { writeAtomically } from "@moebius/cli";
import { type LabFigures, type LabSystem, SIZES } from "./lab-model.ts";
import { verdicts } from "./summary.ts";

export interface Claim {
  system: LabSystem;
  results: ReadonlyMap<string, LabFigures>;
  adapter: string;
  seeds: number;
  steps: number;
}

const INTRODUCTION = `# Claims

What papers say, and what our code shows of it at a small scale. Written by \`npm run lab\`: each section is replaced when its experiment runs
again. All variants of an experiment have the same data, seeds, steps and learning rate, and nothing is tuned for one of them. The model
reads characters of Tiny Shakespeare: ${SIZES.numLayers} layers, width ${SIZES.hiddenSize}, windows of ${SIZES.length}. Losses are of the validation text, in nats a character, means over the seeds
with their standard deviation; "load" is the busiest expert's share over an even one; Mflop are million multiply-adds a token, without
attention's scores; seconds are those of training.
`;

/** Writes an experiment's section into the file of claims, in the place of an older one. */
export async function recordClaim(file: string, claim: Claim): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true });
  const old = existsSync(file) ? await readFile(file, "utf8") : INTRODUCTION;
  const sections = new Map(
    old
      .split(/^(?=## )/m)
      .slice(1)
      .map((section) => [/^## (.*)$/m.exec(section)?.[1] ?? "", section.trimEnd()]),
  );
  sections.set(claim.system.name, section(claim));
  const sorted = [...sections].sort(([a], [b]) => a.localeCompare(b)).map(([, text]) => text);
  await writeAtomically(file, `${[INTRODUCTION.trimEnd(), ...sorted].join("\n\n")}\n`);
}

function section({ system, results, adapter, seeds, steps }: Claim): string {
  const extras = [...new Set([...results.values()].flatMap(({ also }) => Object.keys(also)))];
  const header = ["variant", "loss", ...extras, "experts a token", "load", "dropped", "Mflop", "seconds"];
  const rows = [...results].map(([name, f]) => [
    name,
    `${f.loss.toFixed(4)} ± ${f.spread.toFixed(4)}`,
    ...extras.map((extra) => f.also[extra]?.toFixed(4) ?? ""),
    f.activeExperts.toFixed(2),
    f.imbalance.toFixed(2),
    `${(100 * f.dropRate).toFixed(1)} %`,
    f.megaflops.toFixed(3),
    f.seconds.toFixed(0),
  ]);
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [
    `## ${system.name}`,
    "",
    `${system.claim}.`,
    "",
    line(header),
    line(header.map(() => "---")),
    ...rows.map(line),
    "",
    ...verdicts(system, results).map((verdict) => `- ${verdict}`),
    "",
    `\`npm run lab -- ${system.name} --seeds ${seeds} --steps ${steps}\`, on ${adapter}.`,
  ].join("\n");
}
