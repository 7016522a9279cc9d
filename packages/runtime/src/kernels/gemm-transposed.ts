import { ShapeError } from "../device/errors.ts";
import { defineKernel } from "../device/kernel.ts";
import { expectShape, formatShape, sameShape, sizeOf } from "../tensor/shape.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import { columnQuads, PLAIN_LANES } from "./cores.ts";
import code from "./gemm-at.wgsl";
import type { RowGroups } from "./row-tiles.ts";

type F32 = Tensor<"f32">;

const kernel = defineKernel("gemm-at", code);

export interface TransposedOptions {
  /** Which operand `groups.sourceRow` gathers. Default "a". */
  gathered?: "a" | "b";
  groups?: RowGroups;
  /** As in GemmOptions. */
  into?: F32;
  /** As in GemmOptions. */
  subgroupSize?: number;
}

/**
 * C = Aᵀ · B over rows: the gradient of a weight.
 * @param a [..., k, m] or [rows, m]
 * @param b [..., k, n] or [rows, n]
 * @returns [..., m, n] per batch; grouped: [G, m, n], zeros for empty groups; without groups rank-2 operands give [m, n]
 */
export function gemmTransposed(
  a: F32,
  b: F32,
  { groups, gathered = "a", into, subgroupSize = a.device.subgroupSize }: TransposedOptions = {},
): F32 {
  const [m, n] = [a.axis(-1), b.axis(-1)];
  const leading = a.shape.slice(0, -2);
  const batch = groups ? groups.numGroups : sizeOf(leading);
  const k = groups ? groups.numRows : a.axis(-2);
  if (!groups && !sameShape(b.shape, [...leading, k, n]))
    throw new ShapeError(`matmul: transposed ${formatShape(a.shape)} times ${formatShape(b.shape)}: rows differ`);
  const { device } = a;
  const shape = [...(groups ? [batch] : leading), m, n];
  if (into) expectShape("matmul", "into", into.shape, shape);
  const out = into ?? empty(device, shape, "f32");
  if (m === 0 || n === 0 || batch === 0) return out;
  const lanes = subgroupSize || PLAIN_LANES;
  const gather = groups?.sourceRow;
  const vecs = subgroupSize > 0 ? columnQuads(device, { m, n }) : 1;
  device.dispatch({
    kernel,
    defines: {
      SUBGROUPS: subgroupSize > 0,
      LANES: lanes,
      ROWS: 4 * lanes,
      VECS: vecs,
      VEC: m % 4 === 0 && n % 4 === 0,
      GROUPED: groups !== undefined,
      GATHER_A: gather !== undefined && gathered === "a",
      GATHER_B: gather !== undefined && gathered === "b",
    },
    bindings: [
      a.binding(),
      b.binding(),
      into ? into.bindingInPlace() : out.binding(),
      ...(groups ? [groups.groupOffsets.binding()] : []),
      ...(gather ? [gather.binding()] : []),
    ],
    params: { m, n, k, a_stride: k * m, b_stride: k * n, accumulate: into ? 1 : 0 },
    grid: [Math.ceil(n / (4 * lanes * vecs)), batch, Math.ceil(m / (4 * lanes))],
    flops: 2 * (groups ? 1 : batch) * m * n * k,
    bytes: 4 * (a.size + b.size + out.size),
  });
  return out;
}
