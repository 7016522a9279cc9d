import { testDevice } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { TimeMoe } from "../src/time-moe.ts";
import { trainTimeMoe } from "../src/train.ts";

const device = await testDevice();
const CONFIG = {
  hidden_size: 16,
  intermediate_size: 16,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_experts: 4,
  horizon_lengths: [1, 4],
  initializer_range: 0.1,
};
const wave = Float64Array.from({ length: 300 }, (_, t) => Math.sin((2 * Math.PI * t) / 12));

describe("trainTimeMoe", () => {
  test("learns a sine wave, with the loads of its experts", async () => {
    using model = TimeMoe.fromConfig(device, CONFIG, { seed: 1 });
    const losses: number[] = [];
    for await (const { loss, expertLoad } of trainTimeMoe(model, {
      sources: [{ weight: 1, series: [wave] }],
      steps: 150,
      batchSize: 4,
      context: 32,
      learningRate: 2e-2,
    })) {
      losses.push(loss);
      if (expertLoad) expect(expertLoad[0]?.reduce((a, b) => a + b, 0)).toBe(4 * 32 * 2); // every point chooses two
    }
    expect(losses).toHaveLength(150);
    expect(losses.at(-1)).toBeLessThan(0.5 * (losses[0] ?? 0));
  });

  test("series shorter than a window train too: what is past their end counts nothing", async () => {
    using model = TimeMoe.fromConfig(device, CONFIG, { seed: 1 });
    const short = wave.subarray(0, 20);
    for await (const { loss, expertLoad } of trainTimeMoe(model, {
      sources: [{ weight: 1, series: [short] }],
      steps: 3,
      batchSize: 2,
      context: 32,
    })) {
      expect(Number.isFinite(loss)).toBe(true);
      if (expertLoad) expect(expertLoad[0]?.reduce((a, b) => a + b, 0)).toBe(2 * 19 * 2);
    }
  });

  test("the model ends with the moving average of its weights, which evaluations see too", async () => {
    const trained = async (averageDecay?: number) => {
      using model = TimeMoe.fromConfig(device, CONFIG, { seed: 1 });
      const head = () => model.parameters().get("lm_heads.0.out_layer.weight")?.read() ?? Promise.resolve(undefined);
      const start = await head();
      const seen: (Float32Array | undefined)[] = [];
      const steps = trainTimeMoe(model, {
        sources: [{ weight: 1, series: [wave] }],
        steps: 1,
        batchSize: 2,
        context: 16,
        evaluate: async () => {
          seen.push(await head());
          return {};
        },
        ...(averageDecay === undefined ? {} : { averageDecay }),
      });
      for await (const { step } of steps) expect(step).toBe(0);
      const end = await head();
      expect(seen).toEqual([end]);
      return { start: start as Float32Array, end: end as Float32Array };
    };
    const [plain, last, half] = [await trained(), await trained(0), await trained(0.5)];
    expect(last.end).toEqual(plain.end);
    expect(plain.end).not.toEqual(plain.start);
    for (const [i, value] of half.end.entries())
      expect(value).toBeCloseTo(((plain.start[i] ?? 0) + (plain.end[i] ?? 0)) / 2, 6);
  });
});
