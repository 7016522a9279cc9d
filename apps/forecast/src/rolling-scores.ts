import { type ProgressEvent, UserError } from "@moebius/cli";
import { measureScale, standardise } from "@moebius/data";
import type { TimeMoe } from "@moebius/timeseries";
import type { Input, InputSeries } from "./read-series.ts";
import type { ScoreRow, ScoringOptions } from "./scores.ts";

const DEFAULT_CONTEXT = 512;
const SEASONLESS_HORIZON = 12;
const MIN_CONTEXT = 8;

type Scored = ScoringOptions & { context?: number };

/** Points forecast at once where nothing else was asked for. */
function usualHorizon({ series }: Input): number {
  const season = Math.max(...series.map(({ season }) => season));
  return season > 1 ? season : SEASONLESS_HORIZON;
}

/** Call before loading a model. @throws {UserError} naming the series with too few rows to score */
export function expectScorable(input: Input, options: ScoringOptions): void {
  for (const horizon of options.horizons ?? [usualHorizon(input)])
    for (const series of input.series) scoredPart(series, horizon, input.source, options);
}

/** Scores rolling forecasts of the chosen rows of all series together, a row a horizon and method. */
export async function rollingScores(
  model: TimeMoe,
  input: Input,
  options: Scored,
  report: (event: ProgressEvent) => void,
): Promise<ScoreRow[]> {
  const { evaluate } = await import("@moebius/timeseries");
  const season = Math.max(...input.series.map((series) => series.season));
  const usual = usualHorizon(input);
  const rows: ScoreRow[] = [];
  for (const horizon of options.horizons ?? [usual]) {
    const parts = input.series.map((series) => scoredPart(series, horizon, input.source, options));
    const shortest = Math.min(...parts.map(({ from }) => from));
    const room = Math.max(1, model.config.max_position_embeddings - horizon);
    const context = options.context ?? Math.min(DEFAULT_CONTEXT, shortest, room);
    // Cut so that each series' first forecast begins at its border: borders differ, evaluate has one for all.
    const values = parts.map(({ values, from, to }) => values.subarray(Math.max(0, from - context), to));
    const {
      model: ours,
      seasonalNaive,
      naive,
      windows,
    } = await evaluate(model, values, {
      horizon,
      context,
      season,
      stride: options.stride ?? usual,
      onProgress: ({ done, total }) => report({ stage: `horizon ${horizon}`, done, total }),
    });
    rows.push({ horizon, method: "model", windows, ...ours });
    if (season > 1) rows.push({ horizon, method: "seasonal naive", windows, ...seasonalNaive });
    rows.push({ horizon, method: "naive", windows, ...naive });
  }
  return rows;
}

/** The rows of a series that are forecast, and its values on the scale of the scores. */
function scoredPart({ id, values }: InputSeries, horizon: number, source: string, options: ScoringOptions) {
  const { testShare, range, standardise: scaleRows } = options;
  const from = Math.max(MIN_CONTEXT, range?.[0] ?? Math.floor(values.length * (1 - testShare)));
  const to = range?.[1] ?? values.length;
  if (to > values.length)
    throw new UserError(`${source}: ${id} has ${values.length} values, --range ends at ${to}; choose an earlier end`);
  if (to - from < horizon)
    throw new UserError(
      `${source}: ${id} has ${Math.max(0, to - from)} values to score, a horizon of ${horizon} needs at least ${horizon}; raise --test-share, widen --range or shorten --horizons`,
    );
  const scaled = scaleRows && standardise(values, measureScale(values, 0, scaleRows === true ? from : scaleRows));
  return { from, to, values: scaled || values };
}
