import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { RandomKey } from "@moebius/runtime/tensor";
import { describe, expect, test } from "vitest";
import { corrupted, evenWindows, TextBatches } from "../../src/lab/character-text.ts";
import { recordSection } from "../../src/lab/claims.ts";
import { drawSample, GATE_ACTIVATIONS, negativeLogLikelihood } from "../../src/lab/gaussian/gaussian-moe.ts";
import { minimise } from "../../src/lab/gaussian/minimise.ts";
import type { LabFigures, LabSystem } from "../../src/lab/lab-model.ts";
import { summarise, verdicts } from "../../src/lab/summary.ts";

const figures = (losses: readonly number[]): LabFigures =>
  summarise(
    losses.map((loss) => ({ loss, activeExperts: 2, dropRate: 0, imbalance: 1, megaflops: 1, seconds: 1, also: {} })),
  );

describe("verdicts", () => {
  const system = { name: "s", claim: "c", variants: [], expects: [["new", "old"]] } as LabSystem;
  test.each([
    [[1, 1.1, 1.2], [1.5, 1.6, 1.7], "−0.5000 ± 0.0000, shown"],
    [[1.5, 1.6, 1.7], [1, 1.1, 1.2], "+0.5000 ± 0.0000, the opposite was seen"],
    [[1, 1.3, 1.1], [1.1, 1.1, 1.2], "not shown: within noise"],
    [[1], [2], "not shown: within noise"], // one seed says nothing
  ])("%j against %j", (ours, theirs, word) => {
    const results = new Map([
      ["new", figures(ours)],
      ["old", figures(theirs)],
    ]);
    expect(verdicts(system, results)[0]).toContain(word);
  });
});

describe("the file of claims", () => {
  test("replaces a section, and keeps the others in order", async () => {
    const folder = await mkdtemp(path.join(tmpdir(), "moebius-lab-"));
    const file = path.join(folder, "docs", "claims.md");
    await recordSection(file, "b", "## b\n\nold");
    await recordSection(file, "a", "## a\n\nfirst");
    await recordSection(file, "b", "## b\n\nnew");
    const text = await readFile(file, "utf8");
    expect(text.slice(text.indexOf("## "))).toBe("## a\n\nfirst\n\n## b\n\nnew\n");
    expect(text.startsWith("# Claims")).toBe(true);
    await rm(folder, { recursive: true });
  });
});

describe("texts", () => {
  const text = Uint32Array.from({ length: 100 }, (_, i) => i);
  test("batches are windows of the text, by their number alone", () => {
    const sizes = { batchSize: 3, length: 5 };
    const batches = new TextBatches(text, sizes, new RandomKey(1));
    const first = batches.next();
    const second = batches.next();
    for (const { ids } of [first, second])
      for (let i = 0; i < ids.length; i++) if (i % 5 > 0) expect(ids[i]).toBe((ids[i - 1] as number) + 1);
    const again = new TextBatches(text, sizes, new RandomKey(1));
    again.restore({ position: 1 });
    expect(again.next()).toEqual(second);
    expect(second).not.toEqual(first);
  });

  test("validation spans the text, and corruption swaps about its share", () => {
    const windows = evenWindows(text, 4, 10);
    expect([windows[0], windows.at(-1)]).toEqual([0, 99]);
    const long = new Uint32Array(10_000);
    const changed = corrupted(long, 0.1, 50, new RandomKey(2)).filter((id) => id !== 0).length;
    expect(changed / 10_000).toBeGreaterThan(0.08);
    expect(changed / 10_000).toBeLessThan(0.12);
  });
});

describe("Gaussian mixtures", () => {
  test.each(GATE_ACTIVATIONS.map((activation) => [activation.name, activation] as const))(
    "%s gate: the gradient is that of finite differences",
    (_, activation) => {
      const theta = [1.2, -0.3, 0.1, 0.8, -0.5, -0.6, -1, 0.4, 0.2] as const;
      const sample = drawSample(theta, activation, 50, new RandomKey(1));
      const point = theta.map((value, i) => value + 0.1 * Math.sin(i));
      const { gradient } = negativeLogLikelihood(point, sample, activation);
      for (const [i, slope] of gradient.entries()) {
        const at = (h: number) =>
          negativeLogLikelihood(point.with(i, (point[i] as number) + h), sample, activation).value;
        expect(slope).toBeCloseTo((at(1e-5) - at(-1e-5)) / 2e-5, 6);
      }
    },
  );

  test("the minimiser finds the bottom of a curved valley", () => {
    const rosenbrock = (x: Float64Array) => {
      const [a, b] = [x[0] as number, x[1] as number];
      const gradient = Float64Array.of(-2 * (1 - a) - 400 * a * (b - a * a), 200 * (b - a * a));
      return { value: (1 - a) ** 2 + 100 * (b - a * a) ** 2, gradient };
    };
    const found = minimise(rosenbrock, [-1.2, 1]);
    expect(found[0]).toBeCloseTo(1, 6);
    expect(found[1]).toBeCloseTo(1, 6);
  });
});
