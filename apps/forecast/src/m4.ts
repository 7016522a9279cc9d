import { type ProgressEvent, UserError } from "@moebius/cli";
import { mase, naive, numericColumn, readTable, seasonalNaive, smape } from "@moebius/data";
import type { TimeMoe } from "@moebius/timeseries";
import type { ScoreRow } from "./scores.ts";

interface M4Options {
  train: string;
  test: string;
  season?: number;
  context?: number;
  report: (event: ProgressEvent) => void;
}

/** Seasons of the competition, by the word in the files' names. */
const SEASONS: readonly (readonly [RegExp, number])[] = [
  [/hourly/i, 24],
  [/monthly/i, 12],
  [/quarterly/i, 4],
  [/yearly|weekly|daily/i, 1],
];

/**
 * Scores forecasts of M4's files: a row a series, its name first, then its values, empty at the end. sMAPE and MASE (scaled by the
 * whole past) are averaged over series, as the competition did.
 * @see Makridakis et al. 2020, doi 10.1016/j.ijforecast.2019.04.014
 */
export async function evaluateM4(
  model: TimeMoe,
  { train, test, season, context, report }: M4Options,
): Promise<ScoreRow[]> {
  const m = season ?? SEASONS.find(([word]) => word.test(train))?.[1];
  if (m === undefined) throw new UserError(`${train}: its name does not say which season it has; give --season`);
  const pasts = await readRows(train);
  const series = [...(await readRows(test))].map(([name, future]) => {
    const past = pasts.get(name);
    if (!past || past.length <= m)
      throw new UserError(
        `${train}: series ${name} of ${test} ${past ? `has ${past.length} values, more than a season of ${m} is needed` : "is missing"}; give the files of one data set`,
      );
    return { past, future };
  });
  const horizon = Math.max(...series.map(({ future }) => future.length));
  const forecasts = await model.forecastMany(
    series.map(({ past }) => past),
    { horizon, ...(context === undefined ? {} : { context }), onProgress: report },
  );
  const score = (method: ScoreRow["method"], of: (past: Float64Array, i: number) => Float64Array): ScoreRow => {
    const predicted = series.map(({ past, future }, i) => of(past, i).subarray(0, future.length));
    const mean = (error: (i: number) => number) => series.reduce((sum, _, i) => sum + error(i), 0) / series.length;
    const at = (i: number) => [predicted[i] ?? [], series[i]?.future ?? []] as const;
    return {
      horizon,
      method,
      windows: series.length,
      mase: mean((i) => mase(...at(i), series[i]?.past ?? [], m)),
      smape: mean((i) => smape(...at(i))),
    };
  };
  return [
    score("model", (_, i) => forecasts[i]?.mean ?? new Float64Array(horizon)),
    ...(m > 1 ? [score("seasonal naive", (past) => seasonalNaive(past, horizon, m))] : []),
    score("naive", (past) => naive(past, horizon)),
  ];
}

/** Name and values of each row. */
async function readRows(file: string): Promise<Map<string, Float64Array>> {
  const table = await readTable(file);
  const [id = "", ...steps] = table.columns;
  const names = table.column(id);
  const columns = steps.map((step) => numericColumn(table, step, { missing: "nan" }));
  const rows = new Map<string, Float64Array>();
  for (let row = 0; row < table.rowCount; row++) {
    const values = Float64Array.from(columns, (column) => column[row] as number);
    const end = values.findIndex(Number.isNaN);
    if (end >= 0 && values.subarray(end).some((value) => !Number.isNaN(value)))
      throw new UserError(
        `${file}, line ${table.lineOf(row)}: an empty cell stands between values; M4 has them at the end only`,
      );
    rows.set(names.text(row), end < 0 ? values : values.subarray(0, end));
  }
  return rows;
}
