import { ValueError } from "@moebius/runtime/device";
import { describe, expect, test } from "vitest";
import { distance, noisySeason, tinyModel } from "./tiny-model.ts";

const { NaN: gap, POSITIVE_INFINITY: infinity } = Number;

describe("forecast", () => {
  test("has as many finite points as asked for, also beyond the longest head", async () => {
    using model = await tinyModel();
    for (const horizon of [1, 29]) {
      const { mean, constant } = await model.forecast(noisySeason(40), { horizon });
      expect(mean).toHaveLength(horizon);
      expect(mean.every(Number.isFinite)).toBe(true);
      expect(constant).toBe(false);
    }
  });

  test.for([
    [1e-13, 0],
    [250, -1e4],
    [-3, 7],
    [1e200, 0],
  ] as const)("a series times %d plus %d has its forecast times and plus the same", async ([factor, shift]) => {
    using model = await tinyModel({ use_dense: true }); // without a router, which rounding of the input may tip over
    const series = noisySeason(40);
    const { mean } = await model.forecast(series, { horizon: 13 });
    // A negative factor mirrors the input of the model, so the mirrored series is what it is compared with.
    const mirrored =
      factor < 0
        ? (
            await model.forecast(
              series.map((x) => -x),
              { horizon: 13 },
            )
          ).mean.map((x) => -x)
        : mean;
    const moved = await model.forecast(
      series.map((x) => factor * x + shift),
      { horizon: 13 },
    );
    const back = moved.mean.map((x) => (x - shift) / factor);
    expect(distance(back, mirrored)).toBeLessThan(1e-3);
  });

  test("a series alone and in a batch with longer ones has the same forecast", async () => {
    using model = await tinyModel();
    const series = [noisySeason(40, 1), noisySeason(9, 2), noisySeason(23, 3)];
    const together = await model.forecastMany(series, { horizon: 13 });
    const inPairs = await model.forecastMany(series, { horizon: 13, batchSize: 2 });
    for (const [i, values] of series.entries()) {
      const { mean } = await model.forecast(values, { horizon: 13 });
      expect(distance(together[i]?.mean ?? [], mean)).toBeLessThan(1e-3);
      expect(distance(inPairs[i]?.mean ?? [], mean)).toBeLessThan(1e-3);
    }
  });

  test("looks at the last points of the context only", async () => {
    using model = await tinyModel();
    const series = noisySeason(40);
    const { mean } = await model.forecast(series, { horizon: 5, context: 24 });
    const other = await model.forecast([...new Array<number>(16).fill(1e6), ...series.slice(16)], {
      horizon: 5,
      context: 24,
    });
    expect(distance(mean, other.mean)).toBe(0);
  });

  test("constant series and single points are repeated, and said to be", async () => {
    using model = await tinyModel();
    const forecasts = await model.forecastMany([[7, 7, 7], [-2.5], [gap, 4], noisySeason(9)], { horizon: 5 });
    expect(forecasts.map(({ constant }) => constant)).toEqual([true, true, true, false]);
    expect(forecasts.slice(0, 3).map(({ mean }) => [...mean])).toEqual([
      [7, 7, 7, 7, 7],
      [-2.5, -2.5, -2.5, -2.5, -2.5],
      [4, 4, 4, 4, 4],
    ]);
  });

  test("no series give no forecasts", async () => {
    using model = await tinyModel();
    expect(await model.forecastMany([], { horizon: 5 })).toEqual([]);
  });

  test("NaN at the start is cut off, inside it is bridged when asked for", async () => {
    using model = await tinyModel();
    const { mean } = await model.forecast([1, 3, 2, 5, 4], { horizon: 5 });
    expect((await model.forecast([gap, gap, 1, 3, 2, 5, 4], { horizon: 5 })).mean).toEqual(mean);
    const straight = await model.forecast([1, 2, 3, 2, 4], { horizon: 5 });
    const bridged = await model.forecast([1, gap, 3, 2, 4], { horizon: 5, missing: "interpolate" });
    expect(bridged.mean).toEqual(straight.mean);
  });

  test.for<[string, number[], string]>([
    ["an empty series", [], "series 1 is empty"],
    ["nothing but NaN", [gap, gap], "series 1 has no value among its last 2 points"],
    ["NaN inside", [1, gap, 2], 'series 1 has NaN at position 1; expected a finite number (missing: "interpolate"'],
    ["NaN at the end", [1, 2, gap], "series 1 has NaN at position 2"],
    ["Infinity", [1, 2, 3, infinity], "series 1 has Infinity at position 3; expected a finite number"],
  ])("%s is refused by series and position", async ([, series, message]) => {
    using model = await tinyModel();
    const forecast = model.forecastMany([[1, 2, 3], series], { horizon: 2 });
    await expect(forecast).rejects.toThrow(ValueError);
    await expect(forecast).rejects.toThrow(message);
  });

  test.for([
    [{ horizon: 0 }, "horizon must be a positive integer, got 0"],
    [{ horizon: 2.5 }, "horizon must be a positive integer, got 2.5"],
    [{ horizon: 2, context: 0 }, "context must be a positive integer, got 0"],
    [{ horizon: 2, batchSize: 0 }, "batchSize must be a positive integer, got 0"],
    [{ horizon: 128 }, "a horizon of 128 leaves no context: the model has 128 positions (max_position_embeddings)"],
    [
      { horizon: 28, context: 101 },
      "context 101 and horizon 28 together pass the model's 128 positions (max_position_embeddings); take a context of at most 100",
    ],
  ] as const)("%j is refused", async ([options, message]) => {
    using model = await tinyModel();
    await expect(model.forecast([1, 2, 3], options)).rejects.toThrow(new ValueError(message));
  });

  test("a history longer than the positions is cut, and the positions can be filled", async () => {
    using model = await tinyModel({ max_position_embeddings: 40 });
    const series = noisySeason(200);
    const { mean } = await model.forecast(series, { horizon: 13 });
    expect(mean).toEqual((await model.forecast(series.slice(-27), { horizon: 13 })).mean);
  });

  test("a damaged checkpoint is an error, not a forecast of NaN", async () => {
    using model = await tinyModel();
    model.parameters().get("model.norm.weight")?.write(new Float32Array(16).fill(Number.NaN));
    await expect(
      model.forecastMany(
        [
          [7, 7],
          [1, 2, 3],
        ],
        { horizon: 2 },
      ),
    ).rejects.toThrow("the forecast of series 1 is not finite; the checkpoint may be damaged");
  });

  test("says how far it is", async () => {
    using model = await tinyModel();
    const events: unknown[] = [];
    const series = [noisySeason(9, 1), noisySeason(9, 2), noisySeason(9, 3)];
    await model.forecastMany(series, { horizon: 2, batchSize: 2, onProgress: (event) => events.push(event) });
    expect(events).toEqual([
      { stage: "forecast", done: 2, total: 3 },
      { stage: "forecast", done: 3, total: 3 },
    ]);
  });
});
