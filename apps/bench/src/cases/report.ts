import { printTable } from "@moebius/cli";
import type { BenchRow } from "./bench-case.ts";

/** One JSON line. */
export function printRow(row: BenchRow): void {
  process.stdout.write(`${JSON.stringify(row)}\n`);
}

export function printBench(rows: readonly BenchRow[]): void {
  printTable(
    [
      { header: "case" },
      { header: "ms" },
      { header: "rate" },
      { header: "ratio" },
      { header: "goal" },
      { header: "of" },
    ],
    rows.map((row) => [row.case, `${row.ms}`, rate(row), text(row.ratio), text(row.goal), row.reference ?? null]),
  );
}

function rate({ gflops, gbps, tokens_per_s }: BenchRow): string {
  if (gflops !== undefined) return `${gflops} Gflop/s`;
  return gbps !== undefined ? `${gbps} GB/s` : `${tokens_per_s} tokens/s`;
}

/** Ratios span four orders of magnitude, so a column has no common number of decimals. */
const text = (ratio: number | undefined) => (ratio === undefined ? null : String(Number(ratio.toPrecision(3))));
