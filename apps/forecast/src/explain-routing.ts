import { type HeatmapCell, heatmapSpec, renderChart, UserError, writeAtomically } from "@moebius/cli";
import { formatTime, timestampsOf } from "@moebius/data";
import { formatTrace, type TraceHeader, type TraceVisit, traceVisits } from "@moebius/runtime/moe";
import { scope, tensor } from "@moebius/runtime/tensor";
import { normalisationOf, normalise, type TimeMoe, type TimeMoeConfig } from "@moebius/timeseries";
import type { InputSeries } from "./read-series.ts";

/** Time steps that follow each other share a column of the picture when there are more than this. */
const MAX_COLUMNS = 64;
const DEFAULT_CONTEXT = 512;

/**
 * Draws which experts the time steps of a series use in each layer, or the mean of several series; a .jsonl file gets the routing
 * trace instead, a step a series.
 */
export async function explainRouting(
  model: TimeMoe,
  series: readonly InputSeries[],
  file: string,
  context = Math.min(DEFAULT_CONTEXT, model.config.max_position_embeddings),
): Promise<void> {
  if (model.config.use_dense)
    throw new UserError(
      "--explain-routing: this model is dense, it has no experts to choose from; leave the option out",
    );
  const visits: TraceVisit[][] = [];
  for (const [step, { values }] of series.entries())
    visits.push(await visitsOf(model, values.subarray(-context), step));
  if (/\.jsonl$/i.test(file))
    return writeAtomically(file, formatTrace({ header: headerOf(model.config), visits: visits.flat() }));
  const [only] = series;
  const single = series.length === 1 && only !== undefined;
  const chart = heatmapSpec({
    title: single ? `Experts that ${only.id} uses` : "Experts that each series uses",
    subtitle: `${model.config.num_experts_per_tok} of ${model.config.num_experts} experts work on each time step`,
    rowTitle: "expert",
    columnTitle: single ? "time step" : "series",
    valueTitle: "share of the router's weight",
    cells: single ? stepCells(only, visits[0] ?? [], model.config) : seriesCells(series, visits, model.config),
  });
  await renderChart(chart, file);
}

function headerOf(config: TimeMoeConfig): TraceHeader {
  const { hidden_size, intermediate_size, num_experts_per_tok } = config;
  return {
    model: "time-moe",
    layers: config.num_hidden_layers,
    experts: config.num_experts,
    top_k: num_experts_per_tok,
    expert_bytes: 4 * 3 * hidden_size * Math.floor(intermediate_size / num_experts_per_tok), // gate, up and down in f32
    bits_per_weight: 32,
  };
}

async function visitsOf(model: TimeMoe, values: Float64Array, step: number): Promise<TraceVisit[]> {
  const read = scope(() => {
    const input = tensor(model.device, normalise(values, normalisationOf(values, 1)), [1, values.length]);
    const visits = traceVisits(step, model.forward(input).routings);
    return () => visits; // a scope returns no promise
  });
  return read();
}

/** Each expert's share of the weights of the tokens from `from` to `to`. */
function shares({ tokens, weights = [] }: TraceVisit, numExperts: number, from = 0, to = tokens.length): number[] {
  const sums = new Array<number>(numExperts).fill(0);
  for (let t = from; t < Math.min(to, tokens.length); t++)
    for (const [k, expert] of (tokens[t] ?? []).entries()) sums[expert] = (sums[expert] ?? 0) + (weights[t]?.[k] ?? 0);
  const total = sums.reduce((a, b) => a + b, 0) || 1;
  return sums.map((sum) => sum / total);
}

function cellsOf(visit: TraceVisit, column: string | number, values: readonly number[]): HeatmapCell[] {
  return values.map((value, row) => ({ row, column, value, panel: `layer ${visit.layer + 1}` }));
}

function stepCells(series: InputSeries, visits: readonly TraceVisit[], config: TimeMoeConfig): HeatmapCell[] {
  const stamps = timestampsOf(series);
  return visits.flatMap((visit) => {
    const count = visit.tokens.length;
    const first = series.values.length - count;
    const width = Math.ceil(count / MAX_COLUMNS);
    return Array.from({ length: Math.ceil(count / width) }, (_, bucket) => {
      const from = bucket * width;
      const stamp = stamps?.[first + from];
      const column = stamp === undefined ? first + from + 1 : formatTime(stamp);
      return cellsOf(visit, column, shares(visit, config.num_experts, from, from + width));
    }).flat();
  });
}

function seriesCells(
  series: readonly InputSeries[],
  visits: readonly (readonly TraceVisit[])[],
  config: TimeMoeConfig,
): HeatmapCell[] {
  return series.flatMap(({ id }, i) =>
    (visits[i] ?? []).flatMap((visit) => cellsOf(visit, id, shares(visit, config.num_experts))),
  );
}
