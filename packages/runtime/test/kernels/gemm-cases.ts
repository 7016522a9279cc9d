import { expectClose, uniformArray } from "@moebius/testing";
import { describe, test } from "vitest";
import type { Device, Storage } from "../../src/device/index.ts";
import { gemm, gemmGated, type WeightOrder } from "../../src/kernels/gemm.ts";
import { gemmTransposed } from "../../src/kernels/gemm-transposed.ts";
import type { RowGroups } from "../../src/kernels/row-tiles.ts";
import { zeros } from "../../src/nn/initializers.ts";
import { Parameter } from "../../src/nn/module.ts";
import { scope, type Tensor, tensor } from "../../src/tensor/index.ts";

type F32 = Tensor<"f32">;
type Values = Float64Array<ArrayBuffer>;

/** Sums of up to 600 products within ±1, each rounded to f32. */
const TOLERANCE = 3e-6;
const values = (size: number, seed: number) => uniformArray(size, seed);
const orders: WeightOrder[] = ["in-major", "out-major"];

/** One row of A times B. */
function rowTimes(a: Values, row: number, b: Values, base: number, order: WeightOrder, k: number, n: number): number[] {
  const [alongK, alongN] = order === "in-major" ? [n, 1] : [1, k];
  return Array.from({ length: n }, (_, j) => {
    let sum = 0;
    for (let i = 0, at = base + j * alongN; i < k; i++, at += alongK)
      sum += (a[row * k + i] as number) * (b[at] as number);
    return sum;
  });
}

/** Adds the outer product of two rows to a matrix [m, n]. */
function addOuter(out: number[], base: number, a: Values, rowA: number, m: number, b: Values, rowB: number, n: number) {
  for (let i = 0; i < m; i++)
    for (let j = 0; j < n; j++)
      out[base + i * n + j] =
        (out[base + i * n + j] as number) + (a[rowA * m + i] as number) * (b[rowB * n + j] as number);
}

/** Checks every way to call the dense, batched and grouped products against float64. */
export function describeGemm(device: Device, subgroupSize: number, packs = false): void {
  const upload = (data: Values, shape: number[]) => tensor(device, Float32Array.from(data), shape);

  test.each([
    [1, 1, 1],
    [2, 9, 6],
    [3, 36, 40],
    [7, 3, 5],
    [33, 40, 36],
    [64, 0, 8],
    [509, 511, 513],
  ])("%i x %i times %i columns, in both orders", async (m, k, n) => {
    for (const order of orders) {
      const [a, b] = [values(m * k, 1), values(k * n, 2)];
      const expected = Array.from({ length: m }, (_, row) => rowTimes(a, row, b, 0, order, k, n)).flat();
      const { c } = scope(() => {
        const B = upload(b, order === "in-major" ? [k, n] : [n, k]);
        return { c: gemm(upload(a, [m, k]), B, { order, subgroupSize, packs }).read() };
      });
      expectClose(order, await c, expected, TOLERANCE);
    }
  });

  test("a bias is added after the scale, and all of it to what is there", async () => {
    const [m, k, n] = [9, 6, 10];
    const [a, b, bias, before] = [values(m * k, 3), values(k * n, 4), values(n, 5), values(m * n, 6)];
    const product = Array.from({ length: m }, (_, row) => rowTimes(a, row, b, 0, "in-major", k, n)).flat();
    const { c } = scope(() => {
      const into = upload(before, [m, n]);
      gemm(upload(a, [m, k]), upload(b, [k, n]), {
        order: "in-major",
        bias: upload(bias, [n]),
        scale: 0.5,
        into,
        subgroupSize,
        packs,
      });
      return { c: into.read() };
    });
    const expected = product.map((y, i) => (before[i] as number) + 0.5 * y + (bias[i % n] as number));
    expectClose("C", await c, expected, TOLERANCE);
  });

  describe.each<Storage>(["f16", "bf16"])("a matrix stored as %s", (storage) => {
    test.each([
      [3, 36, 40],
      [7, 5, 3],
      [40, 36, 68],
    ])("%i x %i times %i columns, in both orders", async (m, k, n) => {
      for (const order of orders) {
        const a = values(m * k, 22);
        const b = values(k * n, 23).map((x) => Math.round(8 * x) / 8); // both formats hold eighths exactly
        const expected = Array.from({ length: m }, (_, row) => rowTimes(a, row, b, 0, order, k, n)).flat();
        using matrix = new Parameter(device, order === "in-major" ? [k, n] : [n, k], zeros, true);
        matrix.storeAs(storage, Float32Array.from(b));
        const { c } = scope(() => ({ c: gemm(upload(a, [m, k]), matrix, { order, subgroupSize, packs }).read() }));
        expectClose(order, await c, expected, TOLERANCE);
      }
    });
  });

  test.each([
    [3, 5, 7, 4],
    [2, 36, 8, 12],
  ])("a batch of %i, %i x %i times %i columns, and transposed", async (batch, m, k, n) => {
    const [a, b, rows] = [values(batch * m * k, 7), values(batch * k * n, 8), values(batch * m * n, 9)];
    const product: number[] = [];
    const transposed = new Array<number>(batch * k * n).fill(0);
    for (let i = 0; i < batch; i++)
      for (let row = i * m; row < i * m + m; row++) {
        product.push(...rowTimes(a, row, b, i * k * n, "in-major", k, n));
        addOuter(transposed, i * k * n, a, row, k, rows, row, n);
      }
    const { reads } = scope(() => {
      const A = upload(a, [batch, m, k]);
      const c = gemm(A, upload(b, [batch, k, n]), { order: "in-major", subgroupSize, packs });
      const t = gemmTransposed(A, upload(rows, [batch, m, n]), { subgroupSize });
      return { reads: [c.read(), t.read()] as const };
    });
    expectClose("A·B", await reads[0], product, TOLERANCE);
    expectClose("Aᵀ·B", await reads[1], transposed, TOLERANCE);
  });

  test.each([
    [511, 37, 30],
    [20, 36, 132],
    [19, 33, 70],
  ])("transposed over %i rows, %i by %i, added to what is there", async (rows, m, n) => {
    const [a, b, before] = [values(rows * m, 10), values(rows * n, 11), values(m * n, 12)];
    const expected = [...before];
    for (let row = 0; row < rows; row++) addOuter(expected, 0, a, row, m, b, row, n);
    const { c } = scope(() => {
      const into = upload(before, [m, n]);
      gemmTransposed(upload(a, [rows, m]), upload(b, [rows, n]), { into, subgroupSize });
      return { c: into.read() };
    });
    expectClose("C", await c, expected, TOLERANCE);
  });

  test.each([
    [1, 36, 68],
    [9, 7, 5],
    [70, 36, 68],
  ])("gated: silu(A·G) · (A·U) of %i x %i times %i columns, in both orders", async (m, k, n) => {
    for (const order of orders) {
      const [a, gate, up] = [values(m * k, 19), values(k * n, 20), values(k * n, 21)];
      const expected = Array.from({ length: m }, (_, row) => {
        const u = rowTimes(a, row, up, 0, order, k, n);
        return rowTimes(a, row, gate, 0, order, k, n).map((g, j) => (g / (1 + Math.exp(-g))) * (u[j] as number));
      }).flat();
      const { c } = scope(() => {
        const [G, U] = [gate, up].map((b) => upload(b, order === "in-major" ? [k, n] : [n, k])) as [F32, F32];
        return { c: gemmGated(upload(a, [m, k]), G, U, { order, subgroupSize, packs }).read() };
      });
      expectClose(order, await c, expected, 2 * TOLERANCE);
    }
  });

  describe.each([
    ["several experts, some without rows", [5, 0, 17, 1, 0, 40], 70, 12, 20],
    ["odd sizes", [3, 9, 0, 2], 20, 7, 9],
    ["few rows", [1, 0, 2], 3, 5, 6],
    ["one group", [37], 40, 8, 4],
    ["no rows at all", [0, 0], 8, 5, 6],
  ])("grouped: %s", (_, sizes, numRows, k, n) => {
    const G = sizes.length;
    const total = sizes.reduce((x, y) => x + y, 0);
    const groupOf = sizes.flatMap((size, group) => new Array<number>(size).fill(group));
    const tokens = 11;
    const source = Array.from({ length: numRows }, (_, row) => (row * 7 + 3) % tokens);
    const offsets = [0, ...sizes.map((_, g) => sizes.slice(0, g + 1).reduce((x, y) => x + y, 0))];
    const groups = (gathered: boolean): RowGroups => ({
      groupOffsets: tensor(device, Uint32Array.from(offsets)),
      numGroups: G,
      numRows,
      sourceRow: gathered ? tensor(device, Uint32Array.from(source)) : undefined,
    });

    test.each(orders)("rows times the matrix of their group, %s", async (order) => {
      const [bank, bias] = [values(G * k * n, 14), values(G * n, 15)];
      for (const gathered of [true, false]) {
        const a = values((gathered ? tokens : numRows) * k, 13);
        const expected = groupOf.flatMap((group, row) =>
          rowTimes(a, gathered ? (source[row] as number) : row, bank, group * k * n, order, k, n).map(
            (y, j) => y + (bias[group * n + j] as number),
          ),
        );
        const { c } = scope(() => {
          const b = upload(bank, order === "in-major" ? [G, k, n] : [G, n, k]);
          const A = upload(a, [a.length / k, k]);
          return {
            c: gemm(A, b, { order, bias: upload(bias, [G, n]), groups: groups(gathered), subgroupSize, packs }).read(),
          };
        });
        expectClose(`gathered ${gathered}`, (await c).slice(0, total * n), expected, TOLERANCE);
      }
    });

    test("the gradient of each group's matrix is zero where it has no rows", async () => {
      const before = values(G * k * n, 16);
      for (const gathered of ["a", "b", undefined] as const)
        for (const accumulates of [false, true]) {
          const a = values((gathered === "a" ? tokens : numRows) * k, 17);
          const b = values((gathered === "b" ? tokens : numRows) * n, 18);
          const expected: number[] = accumulates ? [...before] : new Array<number>(G * k * n).fill(0);
          for (const [row, group] of groupOf.entries()) {
            const of = (side: "a" | "b") => (gathered === side ? (source[row] as number) : row);
            addOuter(expected, group * k * n, a, of("a"), k, b, of("b"), n);
          }
          const { c } = scope(() => {
            const operands: [F32, F32] = [upload(a, [a.length / k, k]), upload(b, [b.length / n, n])];
            const options = { groups: groups(gathered !== undefined), gathered: gathered ?? "a", subgroupSize };
            if (!accumulates) return { c: gemmTransposed(...operands, options).read() };
            const into = upload(before, [G, k, n]);
            gemmTransposed(...operands, { ...options, into });
            return { c: into.read() };
          });
          expectClose(`gathered ${gathered}, accumulates ${accumulates}`, await c, expected, TOLERANCE);
        }
    });
  });
}
