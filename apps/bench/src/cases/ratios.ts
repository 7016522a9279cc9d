import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { UserError, writeAtomically } from "@moebius/cli";
import type { AdapterClass } from "@moebius/runtime/device";
import type { BenchRow } from "./bench-case.ts";

/** By class of adapter, then by case and reference. */
export type Ratios = Partial<Record<AdapterClass, Record<string, number>>>;

/** How much a ratio may lose before it counts as worse: what it varies by on a busy machine. */
const TOLERANCE = 0.25;

/** The committed ratios; found through the package, since sources and build lie at different depths. */
export const ratiosFile = (): string =>
  fileURLToPath(new URL("ratios.json", import.meta.resolve("@moebius/bench/package.json")));

/** @returns what is committed, nothing when there is no such file @throws {UserError} when the file is damaged */
export async function readRatios(file: string): Promise<Ratios> {
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "{}";
    throw error;
  });
  try {
    return JSON.parse(text) as Ratios;
  } catch (error) {
    throw new UserError(`${file} is damaged; write it anew by --save`, { cause: error });
  }
}

/** Puts the rows' ratios in the place of the committed ones; those of other cases stay. */
export async function saveRatios(file: string, adapterClass: AdapterClass, rows: readonly BenchRow[]): Promise<void> {
  const ratios = await readRatios(file);
  const merged = { ...ratios[adapterClass], ...ratiosOf(rows) };
  const sorted = Object.fromEntries(Object.entries(merged).sort(([a], [b]) => (a < b ? -1 : 1)));
  await writeAtomically(file, `${JSON.stringify({ ...ratios, [adapterClass]: sorted }, null, 2)}\n`);
}

export interface Comparison {
  /** A sentence for each ratio that fell by more than the tolerance. */
  worse: string[];
  /** A sentence for each that rose by more, and for each that is not committed. */
  notes: string[];
}

/** @throws {UserError} when nothing is committed for this class of adapter */
export function committedRatios(ratios: Ratios, adapterClass: AdapterClass): Record<string, number> {
  const committed = ratios[adapterClass];
  if (!committed)
    throw new UserError(`no ratios are committed for ${adapterClass} adapters; write them by bench --save`);
  return committed;
}

export function compareRatios(committed: Readonly<Record<string, number>>, rows: readonly BenchRow[]): Comparison {
  const comparison: Comparison = { worse: [], notes: [] };
  for (const [name, now] of Object.entries(ratiosOf(rows))) {
    const before = committed[name];
    if (before === undefined) comparison.notes.push(`${name}: ${now}, not committed yet`);
    else if (now < before * (1 - TOLERANCE)) comparison.worse.push(`${name}: ${now}, was ${before}`);
    else if (now > before * (1 + TOLERANCE)) comparison.notes.push(`${name}: ${now}, was ${before}; better`);
  }
  return comparison;
}

function ratiosOf(rows: readonly BenchRow[]): Record<string, number> {
  return Object.fromEntries(
    rows.flatMap(({ case: name, reference, ratio }) =>
      ratio === undefined ? [] : [[`${name} | ${reference}`, ratio]],
    ),
  );
}
