import { barPanelsSpec, renderChart } from "@moebius/cli";
import type { LabFigures, LabSystem } from "./lab-model.ts";

interface Experiment {
  system: LabSystem;
  results: ReadonlyMap<string, LabFigures>;
}

/** Quality, balance, drops, work and time of every variant of every experiment. */
export async function drawGates(file: string, experiments: readonly Experiment[]): Promise<void> {
  const rows = experiments.flatMap(({ system, results }) =>
    [...results].map(([name, figures]) => ({ name: `${system.name}: ${name}`, group: system.name, figures })),
  );
  const values = (pick: (figures: LabFigures) => number) => rows.map(({ figures }) => pick(figures));
  const chart = barPanelsSpec({
    title: "Ways to route, each beside its baseline",
    subtitle:
      "A small character model of Tiny Shakespeare; colours are experiments, whose variants share data, seeds and steps",
    rows,
    panels: [
      {
        title: "loss, nats a character",
        values: values(({ loss }) => loss),
        spread: values(({ spread }) => spread),
        fromZero: false,
      },
      { title: "load of the busiest expert", values: values(({ imbalance }) => imbalance) },
      { title: "dropped, %", values: values(({ dropRate }) => 100 * dropRate) },
      { title: "Mflop a token", values: values(({ megaflops }) => megaflops) },
      { title: "seconds of training", values: values(({ seconds }) => seconds) },
    ],
  });
  await renderChart(chart, file);
}
