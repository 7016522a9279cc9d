import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import path from "node:path";
import { createProgress, printJson, printTable, UserError, writeAtomically } from "@moebius/cli";
import { type Device, requestDevice } from "@moebius/runtime/device";
import { type CharacterText, readCharacterText, readTopics } from "./character-text.ts";
import { ratesSection, recordSection, variantsSection } from "./claims.ts";
import { ERRORS, measureRates } from "./gaussian/rates.ts";
import type { LabFigures, LabSystem } from "./lab-model.ts";
import { drawGates } from "./picture.ts";
import { summarise, verdicts } from "./summary.ts";
import { adaMoe, dynamicMoe } from "./systems/adaptive.ts";
import { cometSystem } from "./systems/comet.ts";
import { deepseek } from "./systems/deepseek.ts";
import { evoMoe } from "./systems/evomoe.ts";
import { moePlusPlus } from "./systems/moe-plus-plus.ts";
import { momentum } from "./systems/momentum.ts";
import { monet, monetTopics } from "./systems/monet.ts";
import { rmoe } from "./systems/rmoe.ts";
import { smoeDropout } from "./systems/smoe-dropout.ts";
import { thor } from "./systems/thor.ts";
import { unionOfExperts } from "./systems/union-of-experts.ts";
import { type SeedFigures, trainVariant } from "./train-variant.ts";

const SYSTEMS: readonly LabSystem[] = [
  adaMoe,
  cometSystem,
  deepseek,
  dynamicMoe,
  evoMoe,
  moePlusPlus,
  momentum,
  monet,
  monetTopics,
  rmoe,
  smoeDropout,
  thor,
  unionOfExperts,
];

/** All of them, and one picture. */
const ALL = "gates";
/** Needs no text and no device. */
const GAUSSIAN = "gaussian";

export const labNames: readonly string[] = [...SYSTEMS.map(({ name }) => name), GAUSSIAN, ALL];

export interface LabOptions {
  seeds: number;
  steps: number;
  data: string;
  folder: string;
  claims: string;
  json?: boolean;
  quiet?: boolean;
}

/** Runs one system's experiment, or all; what a folder already holds is not trained again. */
export async function labCommand(name: string, options: LabOptions): Promise<void> {
  if (name === GAUSSIAN) return runGaussian(options);
  const chosen = name === ALL ? SYSTEMS : SYSTEMS.filter((system) => system.name === name);
  if (chosen.length === 0) throw new UserError(`lab: no system "${name}"; there are ${labNames.join(", ")}`);
  const shakespeare = path.join(options.data, "tinyshakespeare", "input.txt.gz");
  const text = await readCharacterText(shakespeare);
  using device = await requestDevice();
  const all: { system: LabSystem; results: Map<string, LabFigures> }[] = [];
  for (const system of chosen) {
    const read = system.hasTopics ? await readTopics(shakespeare, "packages") : text;
    const results = await runSystem(device, system, read, options);
    all.push({ system, results });
    const { adapter } = device.describe();
    await recordSection(options.claims, system.name, variantsSection({ system, results, adapter, ...options }));
    if (options.json)
      printJson({
        system: system.name,
        results: Object.fromEntries(results),
        verdicts: verdicts(system, results),
      });
    else printResults(system, results);
  }
  if (name === ALL) await drawGates(path.join(path.dirname(options.claims), "gates.png"), all);
}

async function runGaussian({ seeds, claims, json, quiet }: LabOptions): Promise<void> {
  using progress = createProgress({ quiet: (quiet ?? false) || (json ?? false) });
  const begun = performance.now();
  const rates = measureRates(seeds, progress.report);
  await recordSection(claims, GAUSSIAN, ratesSection(rates, seeds, (performance.now() - begun) / 1000));
  if (json) printJson({ system: GAUSSIAN, rates });
  else
    printTable(
      ["gate", ...ERRORS].map((header) => ({ header })),
      rates.map(({ gate, slopes }) => [gate, ...ERRORS.map((error) => slopes[error].toFixed(2))]),
    );
}

async function runSystem(
  device: Device,
  system: LabSystem,
  text: CharacterText,
  { seeds, steps, folder, json, quiet }: LabOptions,
): Promise<Map<string, LabFigures>> {
  await mkdir(path.join(folder, system.name), { recursive: true });
  using progress = createProgress({ quiet: (quiet ?? false) || (json ?? false) });
  const results = new Map<string, LabFigures>();
  for (const variant of system.variants) {
    const found: SeedFigures[] = [];
    for (let seed = 1; seed <= seeds; seed++) {
      const file = path.join(folder, system.name, `${variant.name.replace(/\W+/g, "-")}-${steps}-${seed}.json`);
      const stage = `${system.name}: ${variant.name}, seed ${seed}`;
      const onStep = (done: number, loss: number) =>
        progress.report({ stage, done, total: steps, note: `loss ${loss.toFixed(3)}` });
      const { hasCorruptedText } = system;
      const figures: SeedFigures = existsSync(file)
        ? JSON.parse(await readFile(file, "utf8"))
        : await trainVariant(device, variant, { text, seed, steps, hasCorruptedText, onStep });
      if (!existsSync(file)) await writeAtomically(file, JSON.stringify(figures));
      found.push(figures);
    }
    results.set(variant.name, summarise(found));
  }
  return results;
}

function printResults(system: LabSystem, results: ReadonlyMap<string, LabFigures>): void {
  console.log(`\n${system.name}: ${system.claim}`);
  printTable(
    ["variant", "loss", "±", "experts", "load", "dropped", "Mflop", "seconds"].map((header) => ({ header })),
    [...results].map(([name, f]) => [
      name,
      f.loss.toFixed(4),
      f.spread.toFixed(4),
      f.activeExperts.toFixed(2),
      f.imbalance.toFixed(2),
      `${(100 * f.dropRate).toFixed(1)} %`,
      f.megaflops.toFixed(3),
      f.seconds.toFixed(0),
    ]),
  );
  for (const [name, { also }] of results)
    if (Object.keys(also).length > 0)
      console.log(
        `${name}: ${Object.entries(also)
          .map(([what, value]) => `${what} ${value.toFixed(4)}`)
          .join(", ")}`,
      );
  for (const line of verdicts(system, results)) console.log(line);
}
