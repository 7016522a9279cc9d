import { describe, expect, test } from "vitest";
import { fillCells } from "../src/fill-cells.ts";

const gap = Number.NaN;

describe("fillCells", () => {
  test.each([
    ["zero", [0, 2, 0, 0, 8, 0]],
    ["previous", [2, 2, 2, 2, 8, 8]],
    ["interpolate", [2, 2, 4, 6, 8, 8]],
  ] as const)("%s", (fill, filled) => {
    const values = Float64Array.of(gap, 2, gap, gap, 8, gap);
    expect(fillCells(values, fill)).toBe(4);
    expect([...values]).toEqual(filled);
  });

  test("a series of empty cells becomes zero", () => {
    const values = Float64Array.of(gap, gap);
    fillCells(values, "interpolate");
    expect([...values]).toEqual([0, 0]);
  });
});
