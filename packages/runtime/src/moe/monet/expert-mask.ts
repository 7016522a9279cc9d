import type { Device } from "../../device/device.ts";
import { ValueError } from "../../device/errors.ts";
import { keep } from "../../tensor/scope.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";

/** Expert (i, j): key i of the first axis, key j of the second. */
export type ExpertPair = readonly [number, number];

/** Experts to switch off; plain data, so that JSON saves it. */
export interface MaskedExperts {
  /** All (i, ·) of these keys of the first axis. */
  rows?: readonly number[];
  /** All (·, j) of these keys of the second axis. */
  columns?: readonly number[];
  pairs?: readonly ExpertPair[];
}

/**
 * Experts of a product that are switched off: their weight is 0, that of the others stays as it was. Cost grows with the listed
 * pairs, not with M².
 * @see Park et al. 2024, arXiv:2412.04139: knowledge removal
 */
export class ExpertMask implements Disposable {
  readonly experts: Required<MaskedExperts>;
  /** [M] 0 for a masked key, 1 for others. */
  readonly keepRows: Tensor<"f32">;
  readonly keepColumns: Tensor<"f32">;
  /** [P] the pairs' keys of the first and of the second axis; undefined without pairs. */
  readonly pairs: readonly [Tensor<"u32">, Tensor<"u32">] | undefined;

  /** @throws {ValueError} for a key that is none of the M */
  constructor(device: Device, keysPerAxis: number, { rows = [], columns = [], pairs = [] }: MaskedExperts) {
    const wrong = [...rows, ...columns, ...pairs.flat()].find(
      (key) => !(Number.isInteger(key) && key >= 0 && key < keysPerAxis),
    );
    if (wrong !== undefined) throw new ValueError(`ExpertMask: ${wrong} is no key of an axis of ${keysPerAxis}`);
    const distinct = [...new Map(pairs.map(([i, j]) => [i * keysPerAxis + j, [i, j] as const])).values()];
    this.experts = { rows: [...rows], columns: [...columns], pairs: distinct };
    const keeps = (masked: readonly number[]) => {
      const values = new Float32Array(keysPerAxis).fill(1);
      for (const key of masked) values[key] = 0;
      return keep(tensor(device, values));
    };
    this.keepRows = keeps(rows);
    this.keepColumns = keeps(columns);
    const keys = (axis: 0 | 1) =>
      keep(
        tensor(
          device,
          Uint32Array.from(distinct, (pair) => pair[axis]),
        ),
      );
    this.pairs = distinct.length > 0 ? [keys(0), keys(1)] : undefined;
  }

  /** What JSON.stringify writes and the constructor takes. */
  toJSON(): Required<MaskedExperts> {
    return this.experts;
  }

  [Symbol.dispose](): void {
    for (const tensor of [this.keepRows, this.keepColumns, ...(this.pairs ?? [])]) tensor.dispose();
  }
}
