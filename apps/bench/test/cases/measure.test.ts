import { scale } from "@moebius/runtime/ops";
import { tensor } from "@moebius/runtime/tensor";
import { testDevice } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import type { BenchCase } from "../../src/cases/bench-case.ts";
import { measure, rateRatio } from "../../src/cases/measure.ts";

const device = await testDevice();

describe("rateRatio", () => {
  test("is the median over rounds of the rates' quotient in a round", () => {
    // Twice the flops in 2, 1 and 8 ms against 4, 4 and 4 ms: 4, 8 and 1 times the rate.
    expect(rateRatio({ flops: 20 }, [2, 1, 8], { flops: 10 }, [4, 4, 4])).toBe(4);
  });
});

describe("measure", () => {
  const calls: string[] = [];
  const x = tensor(device, new Float32Array(64));
  const recorded = (name: string) => () => {
    calls.push(name);
    scale(x, 2).dispose();
  };
  const one: BenchCase = {
    name: "scale",
    prepare: () => ({
      setup: () => void calls.push("setup"),
      run: recorded("own"),
      work: { bytes: 512 },
      references: [{ name: "another", run: recorded("another"), work: { bytes: 1024 }, goal: 0.5 }],
      facts: [
        { name: "fact", ratio: async (ms) => 3 * ms },
        { name: "unknown", ratio: async () => undefined, goal: 1 },
      ],
      owned: [{ [Symbol.dispose]: () => void calls.push("dispose") }],
    }),
  };

  test("gives a row a reference and a row a fact, with the same time", async () => {
    const rows = await measure(device, one, 3);
    expect(rows.map(({ reference, goal }) => [reference, goal])).toEqual([
      ["another", 0.5],
      ["fact", undefined],
      ["unknown", 1],
    ]);
    const [first, fact, unknown] = rows;
    expect(first).toMatchObject({ case: "scale", backend: "webgpu", bytes: 512 });
    expect(first?.ratio).toBeGreaterThan(0);
    expect(fact?.ratio).toBeCloseTo(3 * (fact?.ms ?? 0), 1);
    expect(unknown).not.toHaveProperty("ratio");
    expect(calls.at(-1)).toBe("dispose");
  });

  test("each run of a case has its setup, and the reference takes turns", () => {
    const count = (name: string) => calls.filter((call) => call === name).length;
    expect(count("setup")).toBe(count("own"));
    const runs = calls.filter((call) => call === "own" || call === "another");
    const turns = runs.filter((call, i) => call !== runs[i - 1]);
    // Both are calibrated once, then come three rounds.
    expect(turns).toEqual(["own", "another", "own", "another", "own", "another", "own", "another"]);
  });
});
