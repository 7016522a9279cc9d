import { type HeatmapCell, heatmapSpec, renderChart, writeAtomically } from "@moebius/cli";
import type { Series } from "@moebius/data";
import { formatTrace, type TraceVisit, traceVisits } from "@moebius/runtime/moe";
import { scope, tensor } from "@moebius/runtime/tensor";
import { normalisationOf, normalise, type TimeMoe } from "@moebius/timeseries";

/** Time steps that share a column of the picture. */
const MAX_COLUMNS = 64;
const DEFAULT_CONTEXT = 512;

/** Draws which experts the steps of a series (or several series) use in each layer; a .jsonl file gets the routing trace. */
export async function explainRouting(
  model: TimeMoe,
  series: readonly Series[],
  file: string,
  context = DEFAULT_CONTEXT,
): Promise<void> {
  const visits: TraceVisit[][] = [];
  for (const [step, { values }] of series.entries())
    visits.push(await routesOf(model, values.subarray(-context), step));
  if (file.endsWith(".jsonl")) {
    const { num_hidden_layers, num_experts, num_experts_per_tok, hidden_size, intermediate_size } = model.config;
    const header = {
      model: "time-moe",
      layers: num_hidden_layers,
      experts: num_experts,
      top_k: num_experts_per_tok,
      expert_bytes: (4 * 3 * hidden_size * intermediate_size) / num_experts_per_tok,
      bits_per_weight: 32,
    };
    await writeAtomically(file, formatTrace({ header, visits: visits.flat() }));
    return;
  }
  const cells = series.length === 1 ? stepCells(model, visits[0] ?? []) : seriesCells(model, series, visits);
  await renderChart(
    heatmapSpec({
      title: series.length === 1 ? `Experts that ${series[0]?.id} uses` : "Experts that each series uses",
      rowTitle: "expert",
      columnTitle: series.length === 1 ? "time step of the context" : "series",
      valueTitle: "share of the router's weight",
      cells,
    }),
    file,
  );
}

async function routesOf(model: TimeMoe, values: Float64Array, step: number): Promise<TraceVisit[]> {
  const pending = scope(() => {
    const input = tensor(model.device, normalise(values, normalisationOf(values, 1)), [1, values.length]);
    const { routings } = model.forward(input);
    const visits = traceVisits(step, routings);
    return () => visits;
  });
  return pending();
}

/** Each expert's share of the weights of some tokens. */
function shares({ tokens, weights }: TraceVisit, numExperts: number, from = 0, to = tokens.length): number[] {
  const sums = new Array<number>(numExperts).fill(0);
  for (let t = from; t < to; t++)
    for (const [k, expert] of (tokens[t] ?? []).entries())
      sums[expert] = (sums[expert] ?? 0) + (weights?.[t]?.[k] ?? 0);
  const total = sums.reduce((a, b) => a + b, 0) || 1;
  return sums.map((sum) => sum / total);
}

function stepCells(model: TimeMoe, visits: readonly TraceVisit[]): HeatmapCell[] {
  return visits.flatMap((visit) => {
    const width = Math.ceil(visit.tokens.length / MAX_COLUMNS);
    return Array.from({ length: Math.ceil(visit.tokens.length / width) }, (_, column) =>
      shares(visit, model.config.num_experts, column * width, (column + 1) * width).map((value, row) => ({
        row,
        column: column * width,
        value,
        panel: `layer ${visit.layer}`,
      })),
    ).flat();
  });
}

function seriesCells(model: TimeMoe, series: readonly Series[], visits: readonly TraceVisit[][]): HeatmapCell[] {
  return series.flatMap(({ id }, i) =>
    (visits[i] ?? []).flatMap((visit) =>
      shares(visit, model.config.num_experts).map((value, row) => ({
        row,
        column: id,
        value,
        panel: `layer ${visit.layer}`,
      })),
    ),
  );
}
