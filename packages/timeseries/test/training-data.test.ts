import { ConfigError } from "@moebius/runtime/device";
import { RandomKey } from "@moebius/runtime/tensor";
import { normalisationOf, TrainingWindows, type TrainingWindowsOptions } from "@moebius/timeseries";
import { describe, expect, test } from "vitest";
import { noisySeason } from "./tiny-model.ts";

const windows = (options: Partial<TrainingWindowsOptions>) =>
  new TrainingWindows({ sources: [], batchSize: 1, context: 4, horizon: 3, key: new RandomKey(1), ...options });
const of = (...series: ArrayLike<number>[]) => ({ sources: [{ series, weight: 1 }] });

describe("TrainingWindows", () => {
  test("labels are the values after each position, on the scale of the context", () => {
    const series = noisySeason(7);
    const { values, labels, lossMask } = windows(of(series)).next(); // 4 + 3 points: there is one window
    const { mean, standardDeviation } = normalisationOf(series.subarray(0, 4), 1);
    const expected = Array.from(series, (x) => (x - mean) / standardDeviation);
    expect([...values]).toEqual(expected.slice(0, 4).map(Math.fround));
    expect([...labels]).toEqual(expected.slice(1).map(Math.fround));
    expect([...lossMask]).toEqual([1, 1, 1, 1, 1, 1]);
  });

  test("a short series is followed by masked positions", () => {
    const { values, labels, lossMask } = windows(of([1, 2, 3])).next();
    expect([...values]).toEqual([-1, 0, 1, 0]);
    expect([...labels]).toEqual([0, 1, 0, 0, 0, 0]);
    expect([...lossMask]).toEqual([1, 1, 0, 0, 0, 0]);
  });

  test("missing values are not trained on", () => {
    const { values, labels, lossMask } = windows(of([1, Number.NaN, 2, 3, Number.NaN, 4, 5])).next();
    expect([...values]).toEqual([-1, 0, 0, 1]);
    expect([...labels]).toEqual([0, 0, 1, 0, 2, 3]);
    expect([...lossMask]).toEqual([0, 1, 1, 0, 1, 1]);
  });

  test("of several contexts each batch draws one, with as many points", () => {
    const several = windows({ ...of(noisySeason(100)), batchSize: 2, context: [4, 8] });
    const batches = Array.from({ length: 20 }, () => several.next());
    expect(new Set(batches.map(({ context }) => context))).toEqual(new Set([4, 8]));
    for (const { batchSize, context, values, labels } of batches) {
      expect(batchSize * context).toBe(16);
      expect(values.length).toBe(16);
      expect(labels.length).toBe(batchSize * (context + 2));
    }
  });

  test("labels far from the context are held back", () => {
    const { labels } = windows(of([0, 1, 0, 1, 1000, -1000, 0])).next();
    expect([...labels.slice(3, 5)]).toEqual([10, -10]);
  });

  test("a constant context is only centred", () => {
    const { values, labels } = windows(of([5, 5, 5, 5, 6, 5, 5])).next();
    expect([...values]).toEqual([0, 0, 0, 0]);
    expect([...labels]).toEqual([0, 0, 0, 1, 0, 0]);
  });

  test("a run that resumes sees the same batches", () => {
    const options = { sources: [{ series: [noisySeason(100)], weight: 1 }, { weight: 1 }], batchSize: 3 };
    const whole = windows(options);
    const batches = Array.from({ length: 5 }, () => whole.next());
    const resumed = windows(options);
    resumed.restore(JSON.parse(JSON.stringify({ position: 3 })));
    expect([resumed.next(), resumed.next()]).toEqual(batches.slice(3));
    expect(resumed.state()).toEqual(whole.state());
    expect(batches[1]?.values).not.toEqual(batches[0]?.values);
  });

  test("a mixture of lines is a line, upside down half of the time, and the same again after a resume", () => {
    const rising = Float64Array.from({ length: 50 }, (_, t) => 3 * t);
    const options = {
      sources: [{ series: [rising, rising.map((x) => 7 * x + 1)], weight: 1, mixed: true }],
      batchSize: 40,
    };
    const batch = windows(options).next();
    const slopes = Array.from({ length: 40 }, (_, b) => (batch.labels[6 * b] ?? 0) - (batch.values[4 * b] ?? 0));
    for (const slope of slopes) expect(Math.abs(slope)).toBeCloseTo(1 / Math.sqrt(5 / 3), 5); // of 0, 1, 2, 3 by their deviation
    const falling = slopes.filter((slope) => slope < 0).length;
    expect(falling).toBeGreaterThan(8);
    expect(falling).toBeLessThan(32);
    expect(windows(options).next()).toEqual(batch);
  });

  test("a mixture weighs its windows anew each time, whatever their own scales, and keeps gaps", () => {
    const wave = Float64Array.from({ length: 60 }, (_, t) => 1000 * Math.sin(t));
    const gap = [0, 1, Number.NaN, 4, 9, 16, 25];
    const of = (series: ArrayLike<number>[]) =>
      windows({ sources: [{ series, weight: 1, mixed: true }], batchSize: 8, context: 4 }).next();
    const mixed = of([wave, Float64Array.from({ length: 60 }, (_, t) => Math.cos(2 * t))]);
    expect(new Set(mixed.values.map((x) => Math.round(x * 1e4))).size).toBeGreaterThan(24);
    const { lossMask } = of([gap]);
    for (let b = 0; b < 8; b++) expect([...lossMask.subarray(6 * b, 6 * b + 6)]).toEqual([1, 0, 1, 1, 1, 1]);
  });

  test("in the units of the series, a window's errors weigh as its variance", () => {
    const wide = [0, 30, Number.NaN, 60, 30, 0, 30];
    const draw = (series: number[], mixed: boolean) =>
      windows({ sources: [{ series: [series], weight: 1, mixed, errorUnits: "series" }] }).next();
    const variance = normalisationOf(wide.slice(0, 4), 1).standardDeviation ** 2;
    const { lossMask, tokenMask } = draw(wide, false);
    expect([...lossMask]).toEqual([1, 0, 1, 1, 1, 1].map((known) => Math.fround(known * variance)));
    expect([...tokenMask]).toEqual([1, 0, 1, 1]);
    // A mixture of one series with itself is that series, larger at most by the root of three.
    const [weight = 0] = draw(wide, true).lossMask;
    expect(weight).toBeGreaterThan(0.99 * variance);
    expect(weight).toBeLessThan(3.01 * variance);
  });

  test("another key draws other windows", () => {
    const sources = [{ series: [noisySeason(100)], weight: 1 }];
    const [a, b] = [1, 2].map((seed) => windows({ sources, batchSize: 4, key: new RandomKey(seed) }).next());
    expect(a?.values).not.toEqual(b?.values);
  });

  test("sources are drawn by weight, series by the windows that they have", () => {
    // Rising, falling and, in the other source, constant: told apart by the first value of their normalised window.
    const rising = Float64Array.from({ length: 36 }, (_, t) => t); // 30 windows
    const falling = Float64Array.from({ length: 16 }, (_, t) => -t); // 10 windows
    const sources = [
      { series: [rising, falling, [1]], weight: 3 },
      { series: [new Array<number>(7).fill(1)], weight: 1 },
    ];
    const { values } = windows({ sources, batchSize: 4000 }).next();
    const firsts = Array.from({ length: 4000 }, (_, b) => Math.sign(values[4 * b] as number));
    const share = (sign: number) => firsts.filter((first) => first === sign).length / 4000;
    expect(share(-1)).toBeCloseTo((3 / 4) * (30 / 40), 1);
    expect(share(1)).toBeCloseTo((3 / 4) * (10 / 40), 1);
    expect(share(0)).toBeCloseTo(1 / 4, 1);
  });

  test.for<[TrainingWindowsOptions["sources"], string]>([
    [[], "there is no source to draw from"],
    [
      [{ series: [], weight: 1 }],
      "source 0 needs a weight above 0 and a series of at least two points; it has weight 1 and 0 series",
    ],
    [[{ weight: 1 }, { series: [[1], []], weight: 1 }], "source 1 needs a weight above 0 and a series of at least two"],
    [[{ weight: 0 }], "it has weight 0 and synthetic series"],
    [[{ weight: Number.NaN }], "it has weight NaN"],
  ])("%j is refused", ([sources, message]) => {
    expect(() => windows({ sources })).toThrow(ConfigError);
    expect(() => windows({ sources })).toThrow(message);
  });
});
