import { printTable, UserError } from "@moebius/cli";
import { requestDevice } from "@moebius/runtime/device";
import { attentionCases } from "./attention.ts";
import type { BenchCase, BenchRow } from "./bench-case.ts";
import { gemmCases } from "./gemm.ts";
import { measure } from "./measure.ts";
import { moeCases } from "./moe.ts";
import { timeMoeCases } from "./time-moe.ts";

const CASES: readonly BenchCase[] = [...gemmCases, ...moeCases, ...attentionCases, ...timeMoeCases];

/** Measures the cases whose name contains `filter`; each row is reported as it comes. */
export async function runBench({
  filter = "",
  rounds,
  onRow,
}: {
  filter?: string;
  rounds: number;
  onRow?: (row: BenchRow) => void;
}): Promise<BenchRow[]> {
  const chosen = CASES.filter(({ name }) => name.toLowerCase().includes(filter.toLowerCase()));
  if (chosen.length === 0)
    throw new UserError(`no case is named like "${filter}"; there are: ${CASES.map(({ name }) => name).join("; ")}`);
  using device = await requestDevice();
  const rows: BenchRow[] = [];
  for (const one of chosen) {
    const row = await measure(device, one, rounds);
    rows.push(row);
    onRow?.(row);
  }
  return rows;
}

/** One JSON line a case, or a table. */
export function printRow(row: BenchRow): void {
  process.stdout.write(`${JSON.stringify(row)}\n`);
}

export function printBench(rows: readonly BenchRow[]): void {
  printTable(
    [{ header: "case" }, { header: "ms" }, { header: "rate" }, { header: "ratio" }, { header: "of" }],
    rows.map((row) => [row.case, row.ms, rate(row), row.ratio ?? null, row.reference ?? null]),
  );
}

function rate({ gflops, gbps, tokens_per_s }: BenchRow): string {
  if (gflops !== undefined) return `${gflops} Gflop/s`;
  return gbps !== undefined ? `${gbps} GB/s` : `${tokens_per_s} tokens/s`;
}
