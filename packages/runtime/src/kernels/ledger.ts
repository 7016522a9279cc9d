import { defineKernel, grid1d } from "../device/kernel.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import code from "./ledger.wgsl";

type F32 = Tensor<"f32">;

const kernel = defineKernel("ledger", code);

/** Elements that one thread looks at. */
const CHUNK = 1024;

export interface LedgerRow {
  parameter: F32;
  gradient?: F32 | undefined;
  /** Equal parts along the first axis, such as the experts of a bank. */
  groups: number;
}

export interface LedgerSums {
  /** Σ g² of each group. */
  squares: Float64Array;
  /** Of the bits of each group: equal when nothing has changed. */
  checksums: Uint32Array;
}

/** [chunks of all groups of all rows, 2] u32: the bits of Σ g² (f32), and the checksum of each chunk. `addUpLedger` reads it. */
export function ledgerTable(rows: readonly [LedgerRow, ...LedgerRow[]]): Tensor<"u32"> {
  const { device } = rows[0].parameter;
  const entries = rows.map((row) => row.groups * chunksOf(row));
  const out = empty(device, [entries.reduce((a, b) => a + b, 0), 2], "u32");
  let first = 0;
  for (const [i, row] of rows.entries()) {
    const { parameter, gradient, groups } = row;
    const count = entries[i] ?? 0;
    device.dispatch({
      kernel,
      bindings: [parameter.binding(), (gradient ?? parameter).binding(), out.binding()],
      params: {
        entries: count,
        group_size: parameter.size / groups,
        chunk: CHUNK,
        chunks: chunksOf(row),
        first,
        has_gradient: gradient ? 1 : 0,
      },
      grid: count === 0 ? [0] : grid1d(count, 64),
      bytes: 8 * parameter.size,
    });
    first += count;
  }
  return out;
}

/** The sums of each row's groups. @param words what `ledgerTable(rows)` holds */
export function addUpLedger(rows: readonly LedgerRow[], words: Uint32Array<ArrayBuffer>): LedgerSums[] {
  const floats = new Float32Array(words.buffer, words.byteOffset, words.length);
  let at = 0;
  return rows.map((row) => {
    const sums = { squares: new Float64Array(row.groups), checksums: new Uint32Array(row.groups) };
    for (let group = 0; group < row.groups; group++)
      for (let chunk = 0; chunk < chunksOf(row); chunk++, at += 2) {
        sums.squares[group] = (sums.squares[group] ?? 0) + (floats[at] ?? 0);
        sums.checksums[group] = Math.imul((sums.checksums[group] ?? 0) ^ (words[at + 1] ?? 0), 0x01000193);
      }
    return sums;
  });
}

/** Of one group. */
function chunksOf({ parameter, groups }: Pick<LedgerRow, "parameter" | "groups">): number {
  return Math.ceil(parameter.size / groups / CHUNK);
}
