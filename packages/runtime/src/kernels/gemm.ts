import { ShapeError } from "../device/errors.ts";
import { defineKernel } from "../device/kernel.ts";
import { expectShape, formatShape, sameShape, sizeOf } from "../tensor/shape.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import code from "./gemm.wgsl";
import transposedCode from "./gemm-at.wgsl";
import tilesCode from "./tiles.wgsl";

type F32 = Tensor<"f32">;

const kernel = defineKernel("gemm", code);
const transposedKernel = defineKernel("gemm-at", transposedCode);
const tilesKernel = defineKernel("tiles", tilesCode);

/** Row-major [k, n] is in-major, [n, k], as checkpoints store linear layers [out, in], is out-major. */
export type WeightOrder = "in-major" | "out-major";

/** Rows that belong to groups: what the grouped product needs of a routing plan. */
export interface RowGroups {
  /** [G + 1] u32: rows of group g are groupOffsets[g] .. groupOffsets[g + 1] of `numRows` at most. */
  readonly groupOffsets: Tensor<"u32">;
  readonly numGroups: number;
  /** Upper bound of groupOffsets[G]. */
  readonly numRows: number;
  /** [numRows] u32: row of the ungrouped operand that stands for a grouped row; absent when that operand is grouped itself. */
  readonly sourceRow?: Tensor<"u32"> | undefined;
}

export interface GemmOptions {
  order: WeightOrder;
  /** [n], or [G, n] for grouped products. */
  bias?: F32 | undefined;
  scale?: number;
  groups?: RowGroups;
  /** Adds to this tensor in place instead of making a new one. */
  into?: F32;
  /** 0: the kernel without subgroups. Default: the device's. */
  subgroupSize?: number;
}

/** Lanes of a workgroup: a subgroup, or as many as keep a tile at 32 columns. */
const PLAIN_LANES = 8;

/** Large tiles read less, small ones waste less on few rows and compile faster: the only ones without subgroups. */
const LARGE_ROWS = 32;
const SMALL_ROWS = 8;

/**
 * C = A · B over the last two axes.
 * @param a [..., m, k], or for grouped products [rows, k]
 * @param b [k, n] or [n, k] by `order`, with the leading axes of `a` (batched), with none (dense), or [G, ...] (grouped)
 * @returns [..., m, n]; grouped: [groups.numRows, n], rows beyond the last group's end stay garbage
 */
export function gemm(
  a: F32,
  b: F32,
  { order, bias, scale = 1, groups, into, subgroupSize = a.device.subgroupSize }: GemmOptions,
): F32 {
  const k = a.axis(-1);
  const [n, bK] = order === "in-major" ? [b.axis(-1), b.axis(-2)] : [b.axis(-2), b.axis(-1)];
  if (k !== bK)
    throw new ShapeError(
      `matmul: ${formatShape(a.shape)} times ${order} ${formatShape(b.shape)}: inner lengths ${k} and ${bK} differ`,
    );
  if (groups && (b.rank !== 3 || b.axis(0) !== groups.numGroups))
    throw new ShapeError(`matmul: ${formatShape(b.shape)} is no bank of ${groups.numGroups} matrices, one a group`);
  const batched = !groups && b.rank > 2;
  if (batched && !sameShape(a.shape.slice(0, -2), b.shape.slice(0, -2)))
    throw new ShapeError(`matmul: ${formatShape(a.shape)} times ${order} ${formatShape(b.shape)}: leading axes differ`);
  const batch = batched ? sizeOf(a.shape.slice(0, -2)) : 1;
  const m = groups ? groups.numRows : batched ? a.axis(-2) : sizeOf(a.shape.slice(0, -1));
  const { device } = a;
  const shape = groups ? [m, n] : [...a.shape.slice(0, -1), n];
  if (into) expectShape("matmul", "into", into.shape, shape);
  const out = into ?? empty(device, shape, "f32");
  if (m === 0 || n === 0 || batch === 0) return out;
  const lanes = subgroupSize || PLAIN_LANES;
  const wanted =
    subgroupSize === 0 || m <= SMALL_ROWS || (groups && m <= SMALL_ROWS * groups.numGroups) ? SMALL_ROWS : LARGE_ROWS;
  const laneRows = Math.max(1, wanted / lanes);
  const rows = laneRows * lanes;
  const columns = Math.ceil(n / (4 * lanes));
  const gather = groups?.sourceRow;
  const table = groups ? tileTable(groups, rows) : undefined;
  device.dispatch({
    kernel,
    defines: {
      SUBGROUPS: subgroupSize > 0,
      LANES: lanes,
      LANE_ROWS: laneRows,
      ROWS: rows,
      VEC: k % 4 === 0 && n % 4 === 0,
      OUT_MAJOR: order === "out-major",
      GROUPED: groups !== undefined,
      GATHER: gather !== undefined,
    },
    bindings: [
      a.binding(),
      b.binding(),
      (bias ?? a).binding(),
      into ? into.bindingInPlace() : out.binding(),
      ...(groups && table ? [table.binding(), groups.groupOffsets.binding()] : []),
      ...(gather ? [gather.binding()] : []),
    ],
    params: {
      m,
      n,
      k,
      k_quads: Math.ceil(k / 4),
      a_stride: m * k,
      b_stride: k * n,
      c_stride: m * n,
      scale,
      accumulate: into ? 1 : 0,
      has_bias: bias ? 1 : 0,
    },
    grid: groups ? [columns, maxTiles(groups, rows)] : [columns, Math.ceil(m / rows), batch],
    flops: 2 * batch * m * n * k,
    bytes: 4 * (a.size + b.size + out.size),
  });
  table?.dispose();
  return out;
}

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
  device.dispatch({
    kernel: transposedKernel,
    defines: {
      SUBGROUPS: subgroupSize > 0,
      LANES: lanes,
      ROWS: 4 * lanes,
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
    grid: [Math.ceil(n / (4 * lanes)), Math.ceil(m / (4 * lanes)), batch],
    flops: 2 * (groups ? 1 : batch) * m * n * k,
    bytes: 4 * (a.size + b.size + out.size),
  });
  return out;
}

function maxTiles({ numRows, numGroups }: RowGroups, height: number): number {
  return Math.floor(numRows / height) + numGroups;
}

function tileTable(groups: RowGroups, height: number): Tensor<"u32"> {
  const { groupOffsets, numGroups } = groups;
  const { device } = groupOffsets;
  const tiles = empty(device, [maxTiles(groups, height), 2], "u32");
  device.dispatch({
    kernel: tilesKernel,
    bindings: [groupOffsets.binding(), tiles.binding()],
    params: { groups: numGroups, height, max_tiles: maxTiles(groups, height) },
    grid: [Math.ceil((numGroups + 1) / 64)],
  });
  return tiles;
}
