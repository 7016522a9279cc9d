import { describe, expect, test } from "vitest";
import { terminalPlot } from "../src/index.ts";

const wave = (length: number) => Array.from({ length }, (_, index) => Math.sin(index / 20));
const plain = { color: false, widthColumns: 60, heightRows: 8 } as const;

describe("terminalPlot", () => {
  test("keeps to its width, whatever the number of points", () => {
    for (const [history, forecast] of [
      [3, 1],
      [60, 60],
      [5000, 96],
      [10, 0],
    ] as const) {
      const rows = terminalPlot(wave(history), wave(forecast), plain).split("\n");
      expect(Math.max(...rows.map((row) => row.length))).toBeLessThanOrEqual(60);
    }
  });

  test("marks the forecast without colour: dashed, after a notch in the axis", () => {
    const rows = terminalPlot([1, 1, 1, 1], [1, 1, 1, 1], plain).split("\n");
    // 4 + 1 columns of labels and axis, then 27 for the history and 28 for the forecast
    expect(rows[0]).toMatch(/^1\.00┼─{27}╌{28}$/);
    expect(rows[1]).toBe(`    └${"─".repeat(27)}┴${"─".repeat(27)}`);
    expect(rows[2]).toBe(`     history${" ".repeat(20)}forecast`);
  });

  test("colours only the forecast", () => {
    const [row = ""] = terminalPlot([1, 1], [1, 1], { ...plain, color: true }).split("\n");
    expect(row).toContain("\u001b[34m╌");
    expect(row.indexOf("\u001b[34m")).toBeGreaterThan(row.lastIndexOf("─"));
  });

  test("marks stand below the axis, under their values", () => {
    const rows = terminalPlot(wave(55), [], { ...plain, marks: [0, 27, 54] }).split("\n");
    // 5 + 1 columns of labels and axis, then 54 for 55 values
    expect(rows.at(-2)).toBe(`      ▲${" ".repeat(25)}▲${" ".repeat(26)}▲`);
  });

  test("bridges missing values", () => {
    const gap = terminalPlot([0, Number.NaN, Number.NaN, 3], [], plain);
    expect(gap).toBe(terminalPlot([0, 1, 2, 3], [], plain));
  });

  test("labels stand under start, forecast and end, and one that does not fit is left out", () => {
    const labels = { start: "Monday", forecast: "Friday", end: "Sunday" };
    const last = (history: number[], forecast: number[]) =>
      terminalPlot(history, forecast, { ...plain, labels })
        .split("\n")
        .at(-1);
    expect(last(wave(30), wave(30))).toMatch(/^ +Monday +Friday +Sunday$/);
    expect(last([1], wave(60))).toMatch(/^ +Monday +Sunday$/);
  });
});
