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
import tiles from "./tiles.wgsl";

type F32 = Tensor<"f32">;

const includes = { "gemm-common": common, tiles };
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
  /** Whether operands are packed first. Default: where that pays; see cores.ts. */
  packs?: boolean;
}

/** Large tiles read less, small ones waste less on few rows and compile faster: the only ones without subgroups. */
const LARGE_ROWS = 32;
/** Quads of columns a lane owns in the core on panels. */
const PANEL_QUADS = 2;
const SMALL_ROWS = 8;

/**
 * C = A · B over the last two axes.
 * @param a [..., m, k], or for grouped products [rows, k]
 * @param b [k, n] or [n, k] by `order`, with the leading axes of `a` (batched), with none (dense), or [G, ...] (grouped)
 * @returns [..., m, n]; grouped: [groups.numRows, n], rows beyond the last group's end stay garbage
 */
export function gemm(a: F32, b: F32, { into, ...options }: GemmOptions & { into?: F32 | undefined }): F32 {
  return gemmEach(a, [b], options, into && [into])[0] as F32;
}

/**
 * Products of one A with several B of one shape, as a gated feed-forward has them: A is packed, and its tiles are found, only once.
 * @param into adds to these tensors in place instead of making new ones
 */
export function gemmEach(a: F32, bs: readonly F32[], options: GemmOptions, into?: readonly F32[]): F32[] {
  const { order, bias, scale = 1, groups, subgroupSize = a.device.subgroupSize, packs } = options;
  const { device } = a;
  const { m, n, k, batch, shape } = sizes(a, bs, options);
  for (const target of into ?? []) expectShape("matmul", "into", target.shape, shape);
  const outputs = into ?? bs.map(() => empty(device, shape, "f32"));
  if (m === 0 || n === 0 || batch === 0) return [...outputs];
  const lanes = subgroupSize || PLAIN_LANES;
  const wanted =
    subgroupSize === 0 || m <= SMALL_ROWS || (groups && m <= SMALL_ROWS * groups.numGroups) ? SMALL_ROWS : LARGE_ROWS;
  const laneRows = Math.max(1, wanted / lanes);
  const packed = packs ?? paysForPanels(device, { m: m / (groups?.numGroups ?? 1), n, k, subgroupSize });
  const [rows, quads] = packed ? [4 * lanes, PANEL_QUADS] : [laneRows * lanes, 1];
  const gather = groups?.sourceRow;
  const left = packed ? packPanels(a, { matrices: batch, rows: m, lanes, groups }) : a;
  const columns = Math.ceil(n / (4 * lanes * quads));
  for (const [i, b] of bs.entries()) {
    const out = outputs[i] as F32;
    const right =
      packed && order === "out-major" ? packPanels(b, { matrices: groups?.numGroups ?? batch, rows: n, lanes }) : b;
    device.dispatch({
      kernel: packed ? panelsKernel : rowsKernel,
      defines: {
        LANES: lanes,
        ROWS: rows,
        VEC: (k % 4 === 0 || packed) && n % 4 === 0,
        GROUPED: groups !== undefined,
        ...(packed
          ? { VECS: quads, PACKED_B: order === "out-major" }
          : {
              SUBGROUPS: subgroupSize > 0,
              LANE_ROWS: laneRows,
              OUT_MAJOR: order === "out-major",
              GATHER: gather !== undefined,
            }),
      },
      bindings: [
        left.binding(),
        right.binding(),
        (bias ?? a).binding(),
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
      flops: 2 * batch * m * n * k,
      bytes: 4 * (a.size + b.size + out.size),
    });
    if (right !== b) right.dispose();
  }
  if (left !== a) left.dispose();
  return [...outputs];
}

function sizes(a: F32, bs: readonly F32[], { order, groups }: GemmOptions) {
  const [b, ...others] = bs as [F32, ...F32[]];
  for (const other of others) expectShape("matmul", "b", other.shape, b.shape);
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
