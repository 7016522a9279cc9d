import { cacheFolder, makeFolder, pathKind, readText, writeAtomically } from "#host";
import type { AdapterClass } from "./adapter.ts";
import { ConfigError } from "./errors.ts";

/** What was measured to win on an adapter where several kernels do the same; null: never. */
export interface Tuning {
  /** Rows and columns from which packing a product's operands is paid back by a faster core: 1/m + 1/n must be below 1 over it. */
  panelBreakEven: number | null;
  /** Columns from which the weight-gradient core takes two quads a lane. */
  wideColumns: number | null;
}

/** A tuning, and where and when it was measured. */
export interface TuningRow extends Tuning {
  /** The adapter's own name, with its driver's version. */
  adapter: string;
  subgroupSize: number;
  /** yyyy-mm-dd */
  date: string;
}

const UNTUNED: Tuning = { panelBreakEven: null, wideColumns: null };

/** Rows that hold for a class of adapters and a subgroup size, where the user has none for the adapter itself. */
const BUILT_IN: readonly (TuningRow & { adapterClass: AdapterClass })[] = [
  // Panels 55 Gflop/s against 38, two quads 54 against 43, packing at the bandwidth of a copy; two cores.
  {
    adapterClass: "software",
    adapter: "llvmpipe: Mesa 25.0.7 (LLVM 15.0.6)",
    subgroupSize: 8,
    date: "2026-11-24",
    panelBreakEven: 90,
    wideColumns: 64,
  },
];

export function builtInTuning(adapterClass: AdapterClass, subgroupSize: number): Tuning {
  return BUILT_IN.find((row) => row.adapterClass === adapterClass && row.subgroupSize === subgroupSize) ?? UNTUNED;
}

/** Where the user's own rows are kept, one an adapter. */
export const tuningFile = (): string => `${cacheFolder()}/tuning.json`;

/** @returns the user's rows @throws {ConfigError} naming the file and the row that is damaged */
export async function readTunings(file: string = tuningFile()): Promise<TuningRow[]> {
  if ((await pathKind(file).catch(() => undefined)) !== "file") return []; // a page may have no file system at all
  const fail = (what: string) => {
    throw new ConfigError(`${file}: ${what}; delete the file, then bench tune writes it anew`);
  };
  let rows: unknown;
  try {
    rows = JSON.parse(await readText(file));
  } catch {
    fail("is no JSON");
  }
  if (!Array.isArray(rows)) return fail("expected an array of rows");
  const index = rows.findIndex((row) => !isRow(row));
  if (index >= 0)
    fail(`row ${index} is ${JSON.stringify(rows[index])}, expected adapter, subgroupSize, date and counts`);
  return rows as TuningRow[];
}

function isRow(row: Partial<TuningRow> | null): boolean {
  const isCount = (value: unknown) => value === null || (Number.isFinite(value) && Number(value) >= 0);
  return (
    typeof row?.adapter === "string" &&
    Number.isInteger(row.subgroupSize) &&
    typeof row.date === "string" &&
    isCount(row.panelBreakEven) &&
    isCount(row.wideColumns)
  );
}

/** Puts a row in the place of the one for the same adapter, if there is one. */
export async function saveTuning(row: TuningRow, file: string = tuningFile()): Promise<void> {
  const rows = (await readTunings(file)).filter((other) => !isFor(other, row));
  await makeFolder(file.slice(0, file.lastIndexOf("/")));
  await writeAtomically(file, [new TextEncoder().encode(`${JSON.stringify([...rows, row], null, 2)}\n`)]);
}

export function isFor(row: TuningRow, { adapter, subgroupSize }: Pick<TuningRow, "adapter" | "subgroupSize">): boolean {
  return row.adapter === adapter && row.subgroupSize === subgroupSize;
}
