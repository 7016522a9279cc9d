import { testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { balancedAssignment } from "../../src/kernels/balanced-assignment.ts";
import { scope, tensor } from "../../src/tensor/index.ts";

const device = await testDevice();
const NONE = 0xffffffff;

function assign(scores: Float64Array, columns: number, chunk = 1024, mask?: number[]): Promise<Uint32Array> {
  return scope(() => {
    const x = tensor(device, Float32Array.from(scores), [scores.length / columns, columns]);
    return { assigned: balancedAssignment(x, { chunk, mask: mask && tensor(device, mask) }).read() };
  }).assigned;
}

const total = (scores: Float64Array, columns: number, assigned: ArrayLike<number>) =>
  Array.from(assigned).reduce((sum, c, row) => sum + Math.fround(scores[row * columns + c] as number), 0);

const loads = (assigned: ArrayLike<number>, columns: number) =>
  Array.from({ length: columns }, (_, c) => Array.from(assigned).filter((value) => value === c).length);

/** The largest sum, by the Hungarian method on rows against places (Kuhn 1955, in Jonker's form with potentials). */
function largestSum(scores: Float64Array, columns: number): number {
  const rows = scores.length / columns;
  const places = Math.ceil(rows / columns) * columns;
  const lossOf = (row: number, place: number) => -Math.fround(scores[row * columns + (place % columns)] as number);
  const [u, v] = [new Float64Array(rows + 1), new Float64Array(places + 1)];
  const owner = new Int32Array(places + 1); // row at each place, from 1
  const way = new Int32Array(places + 1);
  for (let row = 1; row <= rows; row++) {
    owner[0] = row;
    let at = 0;
    const least = new Float64Array(places + 1).fill(Number.POSITIVE_INFINITY);
    const used = new Uint8Array(places + 1);
    do {
      used[at] = 1;
      const current = owner[at] as number;
      let [delta, next] = [Number.POSITIVE_INFINITY, 0];
      for (let p = 1; p <= places; p++) {
        if (used[p]) continue;
        const reduced = lossOf(current - 1, p - 1) - (u[current] as number) - (v[p] as number);
        if (reduced < (least[p] as number)) {
          least[p] = reduced;
          way[p] = at;
        }
        if ((least[p] as number) < delta) [delta, next] = [least[p] as number, p];
      }
      for (let p = 0; p <= places; p++)
        if (used[p]) {
          u[owner[p] as number] = (u[owner[p] as number] as number) + delta;
          v[p] = (v[p] as number) - delta;
        } else least[p] = (least[p] as number) - delta;
      at = next;
    } while (owner[at] !== 0);
    while (at !== 0) {
      owner[at] = owner[way[at] as number] as number;
      at = way[at] as number;
    }
  }
  let sum = 0;
  for (let p = 1; p <= places; p++) if (owner[p]) sum -= lossOf((owner[p] as number) - 1, p - 1);
  return sum;
}

describe("balancedAssignment", () => {
  test.each([
    [8, 2],
    [24, 4],
    [30, 5],
    [60, 6],
    [64, 16],
    [96, 3],
    [65, 65],
  ])("%d rows to %d columns: even loads, and the sum of an exact method", async (rows, columns) => {
    for (const seed of [1, 2, 3]) {
      const scores = uniformArray(rows * columns, seed, -4, 4);
      const assigned = await assign(scores, columns);
      expect(loads(assigned, columns)).toEqual(new Array(columns).fill(rows / columns));
      expect(total(scores, columns, assigned)).toBeCloseTo(largestSum(scores, columns), 4);
    }
  });

  test("all rows prefer the same columns", async () => {
    const [rows, columns] = [40, 4];
    const noise = uniformArray(rows * columns, 9, 0, 0.5);
    const scores = noise.map((value, i) => value + 3 * (columns - (i % columns)));
    const assigned = await assign(scores, columns);
    expect(loads(assigned, columns)).toEqual([10, 10, 10, 10]);
    expect(total(scores, columns, assigned)).toBeCloseTo(largestSum(scores, columns), 4);
  });

  test("rows that do not divide evenly: no column takes more than the share, rounded up", async () => {
    const scores = uniformArray(23 * 4, 5).map((value, i) => value + (i % 4 === 1 ? 5 : 0));
    const assigned = await assign(scores, 4);
    expect(Math.max(...loads(assigned, 4))).toBe(6);
    expect(total(scores, 4, assigned)).toBeCloseTo(largestSum(scores, 4), 4);
  });

  test("rows in chunks are balanced in each, near the whole's best", async () => {
    const [rows, columns, chunk] = [192, 4, 46]; // rounded up to 48
    const scores = uniformArray(rows * columns, 11, -2, 2);
    const assigned = await assign(scores, columns, chunk);
    for (let begin = 0; begin < rows; begin += 48)
      expect(loads(assigned.subarray(begin, begin + 48), columns)).toEqual([12, 12, 12, 12]);
    const best = largestSum(scores, columns);
    expect(total(scores, columns, assigned)).toBeGreaterThan(0.95 * best);
    expect(total(scores, columns, assigned)).toBeLessThanOrEqual(best + 1e-4);
  });

  test("masked rows take no place", async () => {
    const mask = Array.from({ length: 18 }, (_, row) => (row % 3 === 0 ? 0 : 1));
    const assigned = await assign(uniformArray(18 * 3, 4), 3, 1024, mask);
    expect([...assigned.keys()].filter((row) => assigned[row] === NONE)).toEqual([0, 3, 6, 9, 12, 15]);
    expect(loads(assigned, 3)).toEqual([4, 4, 4]);
  });

  test("equal scores, no row and one column", async () => {
    expect(loads(await assign(new Float64Array(12 * 3), 3), 3)).toEqual([4, 4, 4]);
    expect((await assign(new Float64Array(0), 3)).length).toBe(0);
    expect([...(await assign(uniformArray(5, 1), 1))]).toEqual([0, 0, 0, 0, 0]);
  });

  test("too many columns are an error", () => {
    const wide = tensor(device, new Float32Array(257), [1, 257]);
    expect(() => balancedAssignment(wide, { chunk: 8 })).toThrow(
      "balancedAssignment: scores must be [rows, 1 to 256 columns], got [1, 257]",
    );
  });
});
