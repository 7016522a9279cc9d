import { tensor } from "@moebius/runtime/tensor";
import { generate, planHeads } from "@moebius/timeseries";
import { describe, expect, test } from "vitest";
import { distance, tinyModel } from "./tiny-model.ts";

describe("planHeads", () => {
  const lengths = (horizons: number[], horizon: number) => planHeads(horizons, horizon).map((head) => horizons[head]);

  test("takes the largest head that fits what remains", () => {
    expect(lengths([1, 8, 32, 64], 96)).toEqual([64, 32]);
    expect(lengths([1, 8, 32, 64], 75)).toEqual([64, 8, 1, 1, 1]);
    expect(lengths([1, 8, 32, 64], 1)).toEqual([1]);
    expect(lengths([1, 8, 32, 64], 200)).toEqual([64, 64, 64, 8]);
  });

  test("takes the smallest, to be cut, when none fits", () => {
    expect(lengths([4, 8], 3)).toEqual([4]);
    expect(lengths([4, 8], 13)).toEqual([8, 4, 4]);
  });

  test.for([0, -1, 1.5, Number.NaN])("a horizon of %d is refused", (horizon) => {
    expect(() => planHeads([1], horizon)).toThrow(`horizon must be a positive integer, got ${horizon}`);
  });
});

describe("generate", () => {
  const context = Float32Array.from({ length: 32 }, (_, i) => Math.sin(i / 2) + (i % 5) / 5);
  const padded = context.map((x, i) => (i < 7 ? 0 : x));
  const realOf = (size: number) => new Float32Array(size).map((_, i) => (i < 7 ? 0 : 1));

  test.for([1, 8, 21])("gives the same %d points with and without cache, padded or not", async (horizon) => {
    using model = await tinyModel();
    using values = tensor(model.device, padded, [2, 16]);
    using mask = tensor(model.device, realOf(32), [2, 16]);
    for (const options of [{ horizon }, { horizon, mask }]) {
      using cached = generate(model, values, options);
      using plain = generate(model, values, { ...options, useCache: false });
      expect(cached.shape).toEqual([2, horizon]);
      expect(distance(await cached.read(), await plain.read())).toBeLessThan(2e-5);
    }
  });

  test("padding on the left changes nothing", async () => {
    using model = await tinyModel();
    using values = tensor(model.device, padded, [2, 16]);
    using mask = tensor(model.device, realOf(32), [2, 16]);
    using short = tensor(model.device, padded.slice(7, 16), [1, 9]);
    using inBatch = generate(model, values, { horizon: 13, mask });
    using alone = generate(model, short, { horizon: 13 });
    expect(distance((await inBatch.read()).slice(0, 13), await alone.read())).toBeLessThan(2e-5);
  });

  test("leaves no tensor behind", async () => {
    using model = await tinyModel();
    using values = tensor(model.device, context, [2, 16]);
    const used = () => model.device.memory.use.inUseBytes;
    generate(model, values, { horizon: 13 }).dispose();
    await model.device.flush();
    const before = used();
    generate(model, values, { horizon: 13 }).dispose();
    await model.device.flush();
    expect(used()).toBe(before);
  });
});
