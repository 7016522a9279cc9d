import { checkOp, testDevice } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { rotary, rotaryTables } from "../../src/ops/rotary.ts";
import { tensor } from "../../src/tensor/index.ts";

const device = await testDevice();
const [B, T, A, D] = [2, 5, 3, 8];

/** Rotates pairs of each head by position · 10000^(−2j/R), R rotated elements. */
function rotated(
  x: Float64Array,
  rotatedDim: number,
  positionOf: (b: number, t: number) => number,
  interleaved: boolean,
): Float64Array {
  const y = x.slice();
  const half = rotatedDim / 2;
  for (let row = 0; row < x.length / D; row++) {
    const token = Math.floor(row / A);
    for (let j = 0; j < half; j++) {
      const angle = positionOf(Math.floor(token / T), token % T) * 10_000 ** ((-2 * j) / rotatedDim);
      const [first, second] = interleaved ? [row * D + 2 * j, row * D + 2 * j + 1] : [row * D + j, row * D + j + half];
      const [a, b] = [x[first] as number, x[second] as number];
      y[first] = a * Math.cos(angle) - b * Math.sin(angle);
      y[second] = b * Math.cos(angle) + a * Math.sin(angle);
    }
  }
  return y;
}

describe("rotary matches float64 and its gradient", () => {
  const inputs = [{ shape: [B, T, A, D] }];
  const { cos, sin } = rotaryTables(device, { maxPositions: 64, dim: D });

  test("halves of a head, from position 0 and from an offset", async () => {
    await checkOp(device, {
      op: (x) => rotary(x, cos, sin),
      reference: (x) => rotated(x, D, (_, t) => t, false),
      inputs,
    });
    await checkOp(device, {
      op: (x) => rotary(x, cos, sin, { offset: 40 }),
      reference: (x) => rotated(x, D, (_, t) => 40 + t, false),
      inputs,
    });
  });

  test("neighbouring pairs, and positions of their own", async () => {
    const positions = Uint32Array.from({ length: B * T }, (_, i) => (7 * i) % 50);
    const given = tensor(device, positions, [B, T]);
    await checkOp(device, {
      op: (x) => rotary(x, cos, sin, { interleaved: true, positions: given }),
      reference: (x) => rotated(x, D, (b, t) => positions[b * T + t] as number, true),
      inputs,
    });
  });

  test("part of a head: the rest stays", async () => {
    const part = rotaryTables(device, { maxPositions: 16, dim: 4 });
    await checkOp(device, {
      op: (x) => rotary(x, part.cos, part.sin),
      reference: (x) => rotated(x, 4, (_, t) => t, false),
      inputs,
    });
  });

  test("positions beyond the tables are an error that names both", () => {
    const x = tensor(device, new Float32Array(B * T * A * D), [B, T, A, D]);
    expect(() => rotary(x, cos, sin, { offset: 60 })).toThrow(
      "rotary: positions up to 64 pass the 64 of the tables (max_position_embeddings)",
    );
  });
});
