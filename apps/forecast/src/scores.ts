import { printTable, toCsv } from "@moebius/cli";

/** What is scored, and how. */
export interface ScoringOptions {
  horizons?: number[];
  stride?: number;
  testShare: number;
  range?: [number, number];
  standardise?: true | number;
}

/** Scores of one method at one horizon; what a protocol does not define is left out. */
export interface ScoreRow {
  horizon: number;
  method: "model" | "seasonal naive" | "naive";
  windows: number;
  mse?: number;
  mae?: number;
  /** NaN when no context is longer than a season. */
  mase: number;
  smape: number;
}

/** @param counted what the windows of this protocol are */
export function printScores(rows: readonly ScoreRow[], counted: "forecasts" | "series"): void {
  const hasErrors = rows.some(({ mse }) => mse !== undefined);
  printTable(
    [
      { header: "horizon" },
      { header: "method" },
      { header: counted },
      ...(hasErrors ? [{ header: "MSE" }, { header: "MAE" }] : []),
      { header: "MASE", decimals: 3 },
      { header: "sMAPE", decimals: 2 },
    ],
    rows.map(({ horizon, method, windows, mse = null, mae = null, mase, smape }) => [
      horizon,
      method,
      windows,
      ...(hasErrors ? [mse, mae] : []),
      Number.isFinite(mase) ? mase : null,
      smape,
    ]),
  );
}

export function scoresToCsv(rows: readonly ScoreRow[]): string {
  return toCsv(
    ["horizon", "method", "windows", "mse", "mae", "mase", "smape"],
    rows.map(({ horizon, method, windows, mse = null, mae = null, mase, smape }) => [
      ...[horizon, method, windows],
      ...[mse, mae, mase, smape],
    ]),
  );
}
