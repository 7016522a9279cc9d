import type { LabFigures, LabSystem } from "./lab-model.ts";
import type { SeedFigures } from "./train-variant.ts";

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

/** Standard deviation over seeds; 0 for one seed. */
function deviation(values: readonly number[]): number {
  const centre = mean(values);
  return Math.sqrt(values.reduce((sum, v) => sum + (v - centre) ** 2, 0) / Math.max(1, values.length - 1));
}

/** Means over seeds. */
export function summarise(seeds: readonly SeedFigures[]): LabFigures {
  const of = (pick: (figures: SeedFigures) => number) => mean(seeds.map(pick));
  const names = Object.keys(seeds[0]?.also ?? {});
  return {
    loss: of(({ loss }) => loss),
    spread: deviation(seeds.map(({ loss }) => loss)),
    losses: seeds.map(({ loss }) => loss),
    activeExperts: of(({ activeExperts }) => activeExperts),
    dropRate: of(({ dropRate }) => dropRate),
    imbalance: of(({ imbalance }) => imbalance),
    megaflops: of(({ megaflops }) => megaflops),
    seconds: of(({ seconds }) => seconds),
    also: Object.fromEntries(names.map((name) => [name, of(({ also }) => also[name] as number)])),
  };
}

/**
 * What became of each expectation, and what else was seen. The same seed has the same data in every variant, so differences are taken seed by seed; they count when
 * all have one sign and their mean is more than twice its standard error. One seed says nothing.
 */
export function verdicts(system: LabSystem, results: ReadonlyMap<string, LabFigures>): string[] {
  const losses = system.expects.map(([better, worse]) => {
    const [a, b] = [results.get(better)?.losses ?? [], results.get(worse)?.losses ?? []];
    const differences = a.map((loss, seed) => loss - (b[seed] as number));
    const difference = mean(differences);
    const error = deviation(differences) / Math.sqrt(differences.length);
    const agree = differences.every((one) => Math.sign(one) === Math.sign(difference));
    const isClear = differences.length > 1 && agree && Math.abs(difference) > 2 * error;
    const word = difference < 0 ? "shown" : "the opposite was seen";
    const size = `${difference < 0 ? "−" : "+"}${Math.abs(difference).toFixed(4)} ± ${error.toFixed(4)}`;
    return `${better} against ${worse}: ${size}, ${isClear ? word : "not shown: within noise"}`;
  });
  const figures = (variant: string) => results.get(variant) as LabFigures;
  return [...losses, ...(system.observe?.(figures) ?? [])];
}

/** A change as text, with its sign. */
export const signed = (value: number, digits = 4): string =>
  `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;
