import { describe, expect, test } from "vitest";
import { integer, list, listOf, number, positiveInteger, probability, UserError } from "../src/index.ts";

describe("number", () => {
  test.each([
    ["0", 0],
    ["-1.5", -1.5],
    [".5", 0.5],
    ["1e-3", 0.001],
    ["+2.", 2],
  ])("%s is %d", (text, value) => {
    expect(number("--x")(text)).toBe(value);
  });

  test.each(["", " ", "0x10", "1_000", "Infinity", "NaN", "1e999", "5 apples", "1,5"])("%j is no number", (text) => {
    expect(() => number("--x")(text)).toThrow(new UserError(`--x: expected a number, got "${text}"`));
  });

  test("the bounds belong to the range and stand in the message", () => {
    const parse = number("--rate", { min: 0, max: 1 });
    expect([parse("0"), parse("1")]).toEqual([0, 1]);
    expect(() => parse("1.01")).toThrow('--rate: expected a number from 0 to 1, got "1.01"');
  });
});

describe("integer", () => {
  test("a fraction and a number beyond 2^53 are refused", () => {
    expect(integer("--seed")("-3")).toBe(-3);
    expect(() => integer("--seed")("1.5")).toThrow('--seed: expected a whole number, got "1.5"');
    expect(() => integer("--seed", { max: 1e300 })("1e20")).toThrow("--seed");
  });
});

describe("positiveInteger", () => {
  test("zero is refused", () => {
    expect(positiveInteger("--horizon")("1")).toBe(1);
    expect(() => positiveInteger("--horizon")("0")).toThrow(
      '--horizon: expected a whole number of at least 1, got "0"',
    );
  });
});

describe("probability", () => {
  test("0 and 1 are outside", () => {
    expect(probability("--interval")("0.9")).toBe(0.9);
    for (const text of ["0", "1", "90", "90%"])
      expect(() => probability("--interval")(text)).toThrow("between 0 and 1");
  });
});

describe("list", () => {
  test("a repeated option adds to the list", () => {
    const parse = list("--column");
    expect(parse("c", parse("a, b"))).toEqual(["a", "b", "c"]);
  });

  test("an empty item is refused", () => {
    expect(() => list("--column")("a,,b")).toThrow(
      '--column: expected a list such as a,b,c without empty items, got "a,,b"',
    );
  });

  test("each item is parsed by itself", () => {
    const parse = listOf("--horizons", positiveInteger("--horizons"));
    expect(parse("24,96")).toEqual([24, 96]);
    expect(() => parse("24,x")).toThrow('--horizons: expected a whole number of at least 1, got "x"');
  });
});
