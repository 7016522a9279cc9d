import { ValueError } from "@moebius/runtime/device";
import { describe, expect, test } from "vitest";
import { readContext } from "../src/context.ts";

const { NaN: gap, POSITIVE_INFINITY: infinity } = Number;

describe("readContext", () => {
  test("takes the last points, all of a short series, and those before `end`", () => {
    expect([...readContext([1, 2, 3, 4], 0, { length: 2, missing: "error" })]).toEqual([3, 4]);
    expect([...readContext([1, 2], 0, { length: 5, missing: "error" })]).toEqual([1, 2]);
    expect([...readContext([1, 2, 3, 4], 0, { length: 2, end: 3, missing: "error" })]).toEqual([2, 3]);
  });

  test("NaN at the start is cut off", () => {
    expect([...readContext([gap, gap, 3, 4], 0, { length: 4, missing: "error" })]).toEqual([3, 4]);
    expect([...readContext([1, gap, 3, 4], 0, { length: 3, missing: "error" })]).toEqual([3, 4]);
  });

  test("gaps are bridged by lines, one at the end repeats the last value", () => {
    expect([...readContext([1, gap, gap, 7, gap, 9, gap], 0, { length: 9, missing: "interpolate" })]).toEqual([
      1, 3, 5, 7, 8, 9, 9,
    ]);
  });

  test("nothing but NaN, or nothing, gives nothing", () => {
    expect(readContext([gap, gap], 0, { length: 4, missing: "error" })).toHaveLength(0);
    expect(readContext([], 0, { length: 4, missing: "error" })).toHaveLength(0);
  });

  test.for<[number[], "error" | "interpolate", string]>([
    [
      [0, 1, gap, 3],
      "error",
      'series 7 has NaN at position 2; expected a finite number (missing: "interpolate" fills gaps)',
    ],
    [[0, 1, 2, gap], "error", "series 7 has NaN at position 3"],
    [[0, infinity, 2, 3], "error", "series 7 has Infinity at position 1; expected a finite number"],
    [[0, gap, -infinity, 3], "interpolate", "series 7 has -Infinity at position 2; expected a finite number"],
  ])("%j is refused with missing: %s", ([series, missing, message]) => {
    const read = () => readContext(series, 7, { length: 3, missing });
    expect(read).toThrow(ValueError);
    expect(read).toThrow(message);
  });

  test("what lies before the context does not matter", () => {
    expect([...readContext([infinity, gap, 2, 3], 0, { length: 2, missing: "error" })]).toEqual([2, 3]);
  });
});
