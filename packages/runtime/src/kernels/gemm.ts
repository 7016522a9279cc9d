import { ShapeError } from "../device/errors.ts";
import { defineKernel } from "../device/kernel.ts";
import { expectShape, formatShape, sameShape, sizeOf } from "../tensor/shape.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import { PLAIN_LANES, paysForPanels } from "./cores.ts";
import code from "./gemm.wgsl";
import common from "./gemm-common.wgsl";
import panelsCode from "./gemm-panels.wgsl";
import { packPanels } from "./panels.ts";
import { maxTiles, type RowGroups } from "./row-tiles.ts";
import stored from "./stored.wgsl";
import tiles from "./tiles.wgsl";

type F32 = Tensor<"f32">;

const includes = { "gemm-common": common, stored, tiles };
const rowsKernel = defineKernel("gemm", code, includes);
const panelsKernel = defineKernel("gemm-panels", panelsCode, includes);

/** Row-major [k, n] is in-major, [n, k], as checkpoints store linear layers [out, in], is out-major. */
export type WeightOrder = "in-major" | "out-major";

export interface GemmOptions {
  order: WeightOrder;
  /** [n], or [G, n] for grouped products. */
  bias?: F32 | undefined;
  scale?: number;
  groups?: RowGroups;
  /** 0: the kernel without subgroups. Default: the device's. */
  subgroupSize?: number;
  /** Whether operands are packed first. Default: where that pays on this adapter, by its tuning. */
  packs?: boolean;
}

/** Large tiles read less, small ones waste less on few rows and compile faster: the only ones without subgroups. */
const LARGE_ROWS = 32;
/** Quads of columns a lane owns in the core on panels. */
const PANEL_QUADS = 2;
const SMALL_ROWS = 8;
/** Up to so many rows nothing is shared between lanes: the matrix-vector member, for decoding. */
const FEW_ROWS = 4;

/**
 * C = A · B over the last two axes.
 * @param a [..., m, k], or for grouped products [rows, k]
 * @param b maybe in 16 bits; [k, n] or [n, k] by `order`, with the leading axes of `a` (batched), with none (dense), or [G, ...] (grouped)
 * @returns [..., m, n]; grouped: [groups.numRows, n], rows beyond the last group's end stay garbage
 */
export function gemm(a: F32, b: F32, { into, ...options }: GemmOptions & { into?: F32 | undefined }): F32 {
  return products(a, [[b]], options, into)[0] as F32;
}

/**
 * silu(A · gate) · (A · up), without keeping the two products: the first half of gated experts where no gradient is wanted.
 * @param gate as b of gemm
 * @param up as gate
 */
export function gemmGated(a: F32, gate: F32, up: F32, options: GemmOptions): F32 {
  return products(a, [[gate, up]], options)[0] as F32;
}

/** Products of one A with several B of one shape: A is packed only once. */
export function gemmEach(a: F32, bs: readonly F32[], options: GemmOptions): F32[] {
  return products(
    a,
    bs.map((b) => [b] as const),
    options,
  );
}

/** @param operands what to multiply A with: one B, or two for a gated product */
function products(
  a: F32,
  operands: readonly (readonly [F32, F32?])[],
  options: GemmOptions,
  into?: F32 | undefined,
): F32[] {
  const { order, bias, scale = 1, groups, subgroupSize = a.device.subgroupSize, packs } = options;
  const { device } = a;
  const bs = operands.flat() as F32[];
  const { m, n, k, batch, shape } = sizes(a, bs, options);
  if (into) expectShape("matmul", "into", into.shape, shape);
  const outputs = into ? [into] : operands.map(() => empty(device, shape, "f32"));
  if (m === 0 || n === 0 || batch === 0) return outputs;
  const dual = bs.length > operands.length;
  const lanes = subgroupSize || PLAIN_LANES;
  const few = packs ? undefined : fewRows(m, groups);
  const wanted =
    subgroupSize === 0 || m <= SMALL_ROWS || (groups && m <= SMALL_ROWS * groups.numGroups) ? SMALL_ROWS : LARGE_ROWS;
  const laneRows = few ? 1 : Math.max(1, wanted / lanes / (dual ? 2 : 1)); // two sums an element fill the registers with half the rows
  const packed =
    packs ?? (!few && subgroupSize > 0 && paysForPanels(device, { m: m / (groups?.numGroups ?? 1), n, k }));
  const rows = few ?? (packed ? 4 : laneRows) * lanes;
  const columns = Math.ceil(n / (4 * lanes * (packed && !dual ? PANEL_QUADS : 1)));
  const gather = groups?.sourceRow;
  const left = packed ? packPanels(a, { matrices: batch, rows: m, lanes, groups }) : a;
  const pack = (b: F32) =>
    packed && order === "out-major"
      ? packPanels(b, { matrices: groups?.numGroups ?? batch, rows: n, lanes, matrixGroups: groups })
      : b;
  for (const [i, [b, second]] of operands.entries()) {
    const out = outputs[i] as F32;
    const right = pack(b);
    const other = second && pack(second);
    // Of a bank, the matrices that rows can be there for.
    const weightBytes =
      (dual ? 2 : 1) * n * k * (b.sizeBytes / b.size) * (groups ? Math.min(groups.numGroups, m) : batch);
    device.dispatch({
      kernel: packed ? panelsKernel : rowsKernel,
      defines: {
        LANES: lanes,
        ROWS: rows,
        VEC: (k % 4 === 0 || packed) && n % 4 === 0,
        STORED: right.storage !== "32 bit" && right.storage,
        GROUPED: groups !== undefined,
        DUAL: dual,
        BANKS: dual ? 2 : 1,
        ...(packed
          ? { VECS: PANEL_QUADS, PACKED_B: order === "out-major" }
          : {
              SUBGROUPS: subgroupSize > 0 && few === undefined,
              LANE_ROWS: laneRows,
              SPAN: few ?? lanes,
              OUT_MAJOR: order === "out-major",
              GATHER: gather !== undefined,
            }),
      },
      bindings: [
        left.binding(),
        right.bindingAsStored(),
        other?.bindingAsStored() ?? (bias ?? a).binding(),
        into ? out.bindingInPlace() : out.binding(),
        ...(groups ? [groups.groupOffsets.binding()] : []),
        ...(gather && !packed ? [gather.binding()] : []),
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
        groups: groups?.numGroups ?? 0,
      },
      grid: groups ? [columns, maxTiles(groups, rows)] : [columns, Math.ceil(m / rows), batch],
      flops: (dual ? 4 : 2) * batch * m * n * k,
      bytes: 4 * (a.size + out.size) + weightBytes,
      ...(batch === 1 ? { weightBytes } : {}),
    });
    if (right !== b) right.dispose();
    if (other !== second) other?.dispose();
  }
  if (left !== a) left.dispose();
  return outputs;
}

/** Rows of a tile of the matrix-vector member; grouped rows have a tile each, since their groups are not known here. */
function fewRows(m: number, groups: RowGroups | undefined): number | undefined {
  if (groups) return m <= 2 * FEW_ROWS ? 1 : undefined;
  return m <= FEW_ROWS ? 2 ** Math.ceil(Math.log2(m)) : undefined;
}

function sizes(a: F32, bs: readonly F32[], { order, groups }: GemmOptions) {
  const [b, ...others] = bs as [F32, ...F32[]];
  for (const other of others) {
    expectShape("matmul", "b", other.shape, b.shape);
    if (other.storage !== b.storage)
      throw new ShapeError(`matmul: one b is stored as ${b.storage}, another as ${other.storage}`);
  }
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
  return { m, n, k, batch, shape: groups ? [m, n] : [...a.shape.slice(0, -1), n] };
}
