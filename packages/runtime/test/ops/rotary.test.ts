import { checkOp, expectClose, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { ShapeError } from "../../src/device/errors.ts";
import { rotary, rotaryTables } from "../../src/ops/rotary.ts";
import { sizeOf, tensor } from "../../src/tensor/index.ts";

const device = await testDevice();

interface Rotation {
  shape: readonly [number, number, number, number];
  dim: number;
  position: (token: number) => number;
  interleaved?: boolean;
  theta?: number;
}

/** In float64, pair by pair; elements past `dim` stay. */
function rotated(
  x: Float64Array,
  { shape, dim, position, interleaved = false, theta = 10_000 }: Rotation,
): Float64Array {
  const [, , heads, width] = shape;
  const y = x.slice();
  for (let row = 0; row < x.length / width; row++)
    for (let j = 0; j < dim / 2; j++) {
      const angle = position(Math.floor(row / heads)) * theta ** ((-2 * j) / dim);
      const [first, second] = interleaved ? [2 * j, 2 * j + 1] : [j, j + dim / 2];
      const [a, b] = [x[row * width + first] ?? 0, x[row * width + second] ?? 0];
      y[row * width + first] = a * Math.cos(angle) - b * Math.sin(angle);
      y[row * width + second] = b * Math.cos(angle) + a * Math.sin(angle);
    }
  return y;
}

const CASES: [name: string, shape: Rotation["shape"], dim: number][] = [
  ["one pair", [1, 1, 1, 2], 2],
  ["an odd number of pairs", [2, 3, 1, 6], 6],
  ["several heads", [2, 5, 3, 8], 8],
  ["half of a head", [2, 3, 2, 16], 8],
  ["all but the last element of an odd head", [1, 4, 3, 7], 6],
  ["more than a workgroup", [1, 67, 3, 4], 4],
];

describe.each([false, true])("interleaved: %s", (interleaved) => {
  test.each(CASES)("rotary of %s matches float64, and its gradient", async (_, shape, dim) => {
    const { cos, sin } = rotaryTables(device, { maxPositions: 80, dim });
    await checkOp(device, {
      op: (x) => rotary(x, cos, sin, { interleaved, offset: 5 }),
      reference: (x) => rotated(x, { shape, dim, interleaved, position: (token) => 5 + (token % shape[1]) }),
      inputs: [{ shape }],
    });
  });
});

test("positions may be given for each row, as left padding needs it", async () => {
  const shape = [2, 3, 2, 4] as const;
  const positions = [0, 0, 1, 4, 9, 2];
  const { cos, sin } = rotaryTables(device, { maxPositions: 10, dim: 4 });
  const onDevice = tensor(device, Uint32Array.from(positions), [2, 3]);
  await checkOp(device, {
    op: (x) => rotary(x, cos, sin, { positions: onDevice }),
    reference: (x) => rotated(x, { shape, dim: 4, position: (token) => positions[token] ?? 0 }),
    inputs: [{ shape }],
  });
});

test("a position beyond the tables takes the last angle", async () => {
  const { cos, sin } = rotaryTables(device, { maxPositions: 3, dim: 2 });
  const x = tensor(device, [1, 0], [1, 1, 1, 2]);
  const y = await rotary(x, cos, sin, { positions: tensor(device, Uint32Array.of(4_000_000_000), [1, 1]) }).read();
  expectClose("y", y, [Math.cos(2), Math.sin(2)], 1e-7);
});

test("products of rotated queries and keys depend on the distance alone", async () => {
  const { cos, sin } = rotaryTables(device, { maxPositions: 100, dim: 8 });
  const [q, k] = [1, 2].map((seed) => tensor(device, Float32Array.from(uniformArray(8, seed)), [1, 1, 1, 8]));
  const product = async (at: number) => {
    const turn = (x: typeof q, offset: number) => rotary(x as NonNullable<typeof q>, cos, sin, { offset }).read();
    const [a, b] = [await turn(q, at + 7), await turn(k, at)];
    return a.reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0);
  };
  const first = await product(0);
  for (const at of [1, 20, 92]) expect(await product(at)).toBeCloseTo(first, 5);
});

describe("rotaryTables", () => {
  test("are right to f32 at large positions", async () => {
    const { cos, sin } = rotaryTables(device, { maxPositions: 4097, dim: 4, theta: 500 });
    const angle = 4096 / Math.sqrt(500);
    const last = (table: Float32Array) => Array.from(table.slice(2 * 4096));
    expect(last(await cos.read())).toEqual([Math.cos(4096), Math.cos(angle)].map(Math.fround));
    expect(last(await sin.read())).toEqual([Math.sin(4096), Math.sin(angle)].map(Math.fround));
  });

  test("scaling stretches the positions", async () => {
    const plain = rotaryTables(device, { maxPositions: 3, dim: 4 });
    const stretched = rotaryTables(device, { maxPositions: 5, dim: 4, scaling: 2 });
    const every = (table: Float32Array) => [0, 4, 8].flatMap((at) => Array.from(table.slice(at, at + 2)));
    expect(every(await stretched.sin.read())).toEqual(Array.from(await plain.sin.read()));
  });

  test("an odd width is refused", () => {
    expect(() => rotaryTables(device, { maxPositions: 3, dim: 5 })).toThrow("dim is 5, expected an even number");
  });
});

describe("rotary refuses", () => {
  const { cos, sin } = rotaryTables(device, { maxPositions: 4, dim: 8 });
  const zeros = (...shape: number[]) => tensor(device, new Float32Array(sizeOf(shape)), shape);
  test.each([
    ["heads narrower than the tables", () => rotary(zeros(1, 2, 1, 6), cos, sin), "D ≥ twice the 4 angles"],
    ["another rank", () => rotary(zeros(2, 8), cos, sin), "must be [B, T, A, D]"],
    ["positions past the tables", () => rotary(zeros(1, 2, 1, 8), cos, sin, { offset: 3 }), "positions up to 4"],
    ["tables that differ", () => rotary(zeros(1, 2, 1, 8), cos, zeros(4, 2)), "sin has shape [4, 2], expected [4, 4]"],
    [
      "positions of another size",
      () => rotary(zeros(1, 2, 1, 8), cos, sin, { positions: tensor(device, Uint32Array.of(1)) }),
      "positions, flattened, has shape [1], expected [2]",
    ],
  ])("%s", (_, call, message) => {
    expect(call).toThrow(ShapeError);
    expect(call).toThrow(message);
  });
});
