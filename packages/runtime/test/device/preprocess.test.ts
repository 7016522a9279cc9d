import { describe, expect, test } from "vitest";
import { ShaderError } from "../../src/device/errors.ts";
import { paramLayout } from "../../src/device/kernel.ts";
import { type Defines, preprocess } from "../../src/device/preprocess.ts";

/** The lines that are left, without indentation. */
const linesOf = (code: string, defines: Defines = {}, includes: Record<string, string> = {}) =>
  preprocess("k", code, defines, includes)
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");

const errorOf = (code: string, defines: Defines = {}) => {
  try {
    preprocess("k", code, defines, { known: "" });
  } catch (error) {
    if (error instanceof ShaderError) return { kernel: error.kernel, line: error.line, message: error.message };
  }
  return undefined;
};

describe("#if", () => {
  const code = "#if A\none\n#if B\ntwo\n#else\nthree\n#endif\n#else\nfour\n#endif\nfive";

  test.each([
    [{ A: true, B: true }, ["one", "two", "five"]],
    [{ A: true, B: false }, ["one", "three", "five"]],
    [{ A: false, B: true }, ["four", "five"]],
    [{}, ["four", "five"]],
  ])("nested branches with %o", (defines, expected) => {
    expect(linesOf(code, defines as Defines)).toEqual(expected);
  });

  test.each([
    ["!A", { A: 0 }, true],
    ["A == 4", { A: 4 }, true],
    ["A == f16", { A: "f16" }, true],
    ["A != 4", { A: 4 }, false],
    ["A > 1", { A: 2 }, true],
    ["A > 2", { A: 2 }, false],
  ])("%s with %o is %s", (condition, defines, holds) => {
    expect(linesOf(`#if ${condition}\nyes\n#endif`, defines as unknown as Defines)).toEqual(holds ? ["yes"] : []);
  });
});

test("names become values: whole words only, numbers as u32, values may name other names", () => {
  expect(linesOf("a = SIZE; b = SIZE_MAX; c = SUM;", { SIZE: 4, SUM: "SIZE + 1" })).toEqual([
    "a = 4u; b = SIZE_MAX; c = 4u + 1;",
  ]);
});

test("#include inserts a text, which may hold conditions and names of its own", () => {
  expect(linesOf('#include "part"\nend', { N: 2 }, { part: "#if N\nn = N;\n#endif" })).toEqual(["n = 2u;", "end"]);
  expect(linesOf('#include "outer"', {}, { outer: '#include "inner"', inner: "x" })).toEqual(["x"]);
  expect(() => linesOf('#include "loop"', {}, { loop: '#include "loop"' })).toThrow('no include named "loop"');
});

describe("@unroll and @repeat", () => {
  test("a body each iteration in a block of its own, with the index a constant and pasted", () => {
    expect(linesOf("@unroll for (var i = 0u; i < N; i++) { let x$i = f(i); }", { N: 2 })).toEqual([
      "{ let x0 = f(0u); }",
      "{ let x1 = f(1u); }",
    ]);
  });

  test("@repeat has no block; steps, begins and the words that contain the index are kept apart", () => {
    expect(linesOf("@repeat for (var i = 2u; i < 7u; i += 2u) { let x$i = i + in; }")).toEqual([
      "let x2 = 2u + in;",
      "let x4 = 4u + in;",
      "let x6 = 6u + in;",
    ]);
  });

  test("nested loops paste both indices", () => {
    const code = "@repeat for (var r = 0u; r < 2u; r++) { @repeat for (var c = 0u; c < 2u; c++) { s$r$c = r * c; } }";
    expect(preprocess("k", code, {}).match(/s\d+ = \d+u \* \d+u/g)).toEqual([
      "s00 = 0u * 0u",
      "s01 = 0u * 1u",
      "s10 = 1u * 0u",
      "s11 = 1u * 1u",
    ]);
  });
});

describe("mistakes name the kernel and the line", () => {
  test.each([
    ["an include that is not there", 'a\n#include "missing"', 2, 'no include named "missing"; known: known'],
    ["#else without #if", "a\nb\n#else", 3, "#else without #if"],
    ["#if without #endif", "a\n#if A\nb", 2, "#if without #endif"],
    ["a condition that is none", "#if 1 + 1\n#endif", 1, 'cannot read the condition "1 + 1"'],
    ["a loop without bounds", "@unroll for (var i = 0u; i < n; i++) { }", 0, "the bounds must be numbers"],
    ["a loop that never ends", "@unroll for (var i = 0u; i < 4u; i += 0u) { }", 0, "the bounds must be numbers"],
    ["a loop without an end", "@unroll for (var i = 0u; i < 4u; i++) { {}", 0, "without a closing brace"],
  ])("%s", (_, code, line, message) => {
    expect(errorOf(code)).toEqual({ kernel: "k", line, message: expect.stringContaining(message) });
  });
});

describe("paramLayout", () => {
  test("scalars align to 4 bytes, vec4u to 16, comments do not count", () => {
    const layout = paramLayout("k", "struct Params {\n  a: u32, // b: f32,\n  c: vec4u,\n  d: f32,\n}");
    expect(layout.fields.map(({ name, offset }) => [name, offset])).toEqual([
      ["a", 0],
      ["c", 16],
      ["d", 32],
    ]);
    expect(layout.sizeBytes).toBe(48);
  });

  test("a field of another type is an error that names it", () => {
    expect(() => paramLayout("k", "struct Params { a: u32, size: vec2f }")).toThrow("Params.size is vec2f");
  });

  test("more than 256 bytes are an error", () => {
    const fields = Array.from({ length: 17 }, (_, i) => `v${i}: vec4u`).join(", ");
    expect(() => paramLayout("k", `struct Params { ${fields} }`)).toThrow("Params has 272 bytes");
  });
});
