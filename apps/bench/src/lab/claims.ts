import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import path from "node:path";
import { writeAtomically } from "@moebius/cli";
import { ERRORS, type Rates } from "./gaussian/rates.ts";
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
attention's scores; seconds are those of training, on a machine that did other work as well. The runs are short: what is within noise here
may show at the papers' scale. \`npm run lab -- gates\` runs all and draws [gates.png](gates.png).
`;

/** Writes an experiment's section into the file of claims, in the place of an older one. */
export async function recordSection(file: string, name: string, text: string): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true });
  const old = existsSync(file) ? await readFile(file, "utf8") : INTRODUCTION;
  const sections = new Map(
    old
      .split(/^(?=## )/m)
      .slice(1)
      .map((section) => [/^## (.*)$/m.exec(section)?.[1] ?? "", section.trimEnd()]),
  );
  sections.set(name, text);
  const sorted = [...sections].sort(([a], [b]) => a.localeCompare(b)).map(([, text]) => text);
  await writeAtomically(file, `${[INTRODUCTION.trimEnd(), ...sorted].join("\n\n")}\n`);
}

/** The parameter errors' slopes, beside those that were found by others. */
export function ratesSection(rates: readonly Rates[], repetitions: number, seconds: number): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const within = (value: number, low: number, high: number) => value >= low && value <= high;
  const [linear, tanh] = ["linear", "tanh"].map((name) => rates.find(({ gate }) => gate === name)?.slopes);
  const isStuck = linear && Math.abs(linear.beta1) < 0.15 && Math.abs(linear.tau) < 0.15;
  const ratios = linear && (["beta1/tau", "a and b", "nu"] as const).every((name) => within(linear[name], -0.6, -0.4));
  const repaired = tanh && ERRORS.every((name) => within(tanh[name], -0.7, -0.4));
  const word = (isSeen: boolean | undefined) => (isSeen ? "shown" : "not shown");
  return [
    "## gaussian",
    "",
    "With a temperature inside a linear softmax gate the gate's weights and the temperature cannot be estimated at any polynomial rate, only their ratio; an activation before the softmax repairs it, errors fall as n^(−1/2) (Nguyen et al. 2024, arXiv:2401.13875). Slopes of ln error over ln n, two Gaussian experts, maximum likelihood from starts near the truth.",
    "",
    line(["gate", ...ERRORS]),
    line(["---", ...ERRORS.map(() => "---")]),
    ...rates.map(({ gate, slopes }) => line([gate, ...ERRORS.map((name) => slopes[name].toFixed(2))])),
    "",
    `- linear gate: weights and temperature stay where they start (slopes within ±0.15): ${word(isStuck)}`,
    `- linear gate: ratio, experts and variances fall as n^(−1/2) (−0.6 to −0.4): ${word(ratios)}`,
    `- tanh gate: all five fall as n^(−1/2) (−0.7 to −0.4): ${word(repaired)}`,
    "",
    `\`npm run lab -- gaussian --seeds ${repetitions}\`, on the processor in float64, ${seconds.toFixed(0)} s.`,
  ].join("\n");
}

/** The losses of an experiment's variants, and what became of the claim. */
export function variantsSection({ system, results, adapter, seeds, steps }: Claim): string {
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
