import { describe, expect, test } from "vitest";
import { formatTable } from "../src/index.ts";

const columns = [{ header: "name" }, { header: "MSE" }, { header: "steps" }];

describe("formatTable", () => {
  test("numbers stand to the right with equal decimals, texts to the left", () => {
    const rows = [
      ["naive", 0.5, 96],
      ["Time-MoE", 12.25, 192],
    ];
    expect(formatTable(columns, rows)).toBe(
      [
        "name        MSE  steps", //
        "naive      0.50     96",
        "Time-MoE  12.25    192",
      ].join("\n"),
    );
  });

  test("a column's decimals can be set", () => {
    expect(formatTable([{ header: "x", decimals: 1 }], [[1.25], [2]])).toBe("  x\n1.3\n2.0");
  });

  test("null is a dash and leaves a column of numbers a column of texts only where there is one", () => {
    expect(
      formatTable(
        [{ header: "a" }, { header: "b" }],
        [
          [1, null],
          [20, 3],
        ],
      ),
    ).toBe(" a  b\n 1  -\n20  3");
  });

  test("the widest text gives way until the row fits; numbers are never cut", () => {
    const table = formatTable([{ header: "file" }, { header: "n" }], [["a-very-long-file-name.csv", 123_456]], {
      widthColumns: 20,
    });
    expect(table.split("\n")).toEqual(["file               n", "a-very-long…  123456"]);
  });

  test("wide characters count as two columns", () => {
    expect(
      formatTable(
        [{ header: "a" }, { header: "b" }],
        [
          ["日本", 1],
          ["x", 2],
        ],
      ),
    ).toBe("a     b\n日本  1\nx     2");
  });

  test("control characters in a cell cannot move the cursor", () => {
    expect(formatTable([{ header: "a" }], [["x\u001b[2Jy\nz"]])).toBe("a\nx [2Jy z");
  });

  test("a long table shows its first and last rows", () => {
    const rows = Array.from({ length: 10 }, (_, row) => [row]);
    expect(formatTable([{ header: "t" }], rows, { maxRows: 4 }).split("\n")).toEqual([
      "t",
      "0",
      "1",
      "… 6 more rows",
      "8",
      "9",
    ]);
  });
});
