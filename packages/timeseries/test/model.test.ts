import { ValueError } from "@moebius/runtime/device";
import { scope, tensor } from "@moebius/runtime/tensor";
import type { TimeMoe } from "@moebius/timeseries";
import { describe, expect, test } from "vitest";
import { distance, tinyModel } from "./tiny-model.ts";

const series = Float32Array.from({ length: 24 }, (_, t) => Math.sin(t / 2) + (t % 7) / 7 - 0.5);

/** Predictions of the longest head, [S, H] of one series. */
function predict(model: TimeMoe, values: Float32Array<ArrayBuffer>): Promise<Float32Array> {
  return scope(() => {
    const { last } = model.forward(tensor(model.device, values, [1, values.length]));
    return { read: model.predict(last, model.horizons.length - 1).read() };
  }).read;
}

describe("TimeMoeModel", () => {
  test.for([{ use_dense: false }, { use_dense: true }])("the future never changes the past: %j", async (config) => {
    using model = await tinyModel(config);
    const before = await predict(model, series);
    for (const t of [0, 11, 23]) {
      const after = await predict(
        model,
        series.map((x, i) => (i === t ? x + 3 : x)),
      );
      expect([...after.subarray(0, 8 * t)]).toEqual([...before.subarray(0, 8 * t)]);
      expect(distance(after.subarray(8 * t, 8 * t + 8), before.subarray(8 * t, 8 * t + 8))).toBeGreaterThan(1e-3);
    }
  });

  test("with k = E and equal probabilities the block gives the mean of the experts and the gated shared one", async () => {
    using model = await tinyModel({ num_hidden_layers: 1, num_experts: 2, num_experts_per_tok: 2 });
    const weight = (name: string) => {
      const parameter = model.parameters().get(name);
      if (!parameter) throw new Error(`no parameter ${name}`);
      return parameter;
    };
    const layer = "model.layers.0";
    // Without attention, and with the router undecided.
    for (const name of [`${layer}.self_attn.o_proj.weight`, `${layer}.ffn_layer.gate.weight`])
      weight(name).write(new Float32Array(weight(name).size));
    const { hidden } = scope(() => {
      const { hiddenStates } = model.forward(tensor(model.device, series, [1, 24]));
      return { hidden: hiddenStates.map((states) => states.read()) };
    });
    const [embedded = [], last = []] = await Promise.all(hidden);
    const values = new Map<string, Float32Array>();
    for (const [name, parameter] of model.parameters()) values.set(name, await parameter.read());
    const read = (name: string) => values.get(name) as Float32Array;

    const norm = (x: number[], name: string) => {
      const inverse = 1 / Math.sqrt(x.reduce((sum, v) => sum + v * v, 0) / x.length + 1e-6);
      return x.map((v, i) => v * inverse * (read(name)[i] as number));
    };
    const times = (x: number[], rows: Float32Array) =>
      Array.from({ length: rows.length / x.length }, (_, o) =>
        x.reduce((sum, v, i) => sum + v * (rows[o * x.length + i] as number), 0),
      );
    const swiglu = (x: number[], part: (name: string) => Float32Array) => {
      const up = times(x, part("up_proj"));
      const hidden = times(x, part("gate_proj")).map((g, i) => (g / (1 + Math.exp(-g))) * (up[i] as number));
      return times(hidden, part("down_proj"));
    };
    const expected = Array.from({ length: 24 }, (_, t) => {
      const x = [...embedded.slice(16 * t, 16 * t + 16)];
      const h = norm(x, `${layer}.post_attention_layernorm.weight`);
      const [a = [], b = []] = [0, 1].map((expert) =>
        swiglu(h, (name) => {
          const bank = read(`${layer}.ffn_layer.experts.${name}`);
          return bank.subarray((expert * bank.length) / 2, ((expert + 1) * bank.length) / 2);
        }),
      );
      const shared = swiglu(h, (name) => read(`${layer}.ffn_layer.shared_expert.${name}.weight`));
      const [gate = 0] = times(h, read(`${layer}.ffn_layer.shared_expert_gate.weight`));
      const y = x.map(
        (v, i) => v + ((a[i] as number) + (b[i] as number)) / 2 + (shared[i] as number) / (1 + Math.exp(-gate)),
      );
      return norm(y, "model.norm.weight");
    });
    expect(distance(last, expected.flat())).toBeLessThan(1e-5);
  });

  test("says which experts a time step uses", async () => {
    using model = await tinyModel();
    const { chosen } = scope(() => {
      const { routings } = model.forward(tensor(model.device, series, [1, 24]));
      return { chosen: routings.map(({ plan }) => plan.assignmentExpert.read()) };
    });
    const layers = await Promise.all(chosen);
    expect(layers.map((experts) => experts.length)).toEqual([48, 48]);
    expect(new Set(layers.flatMap((experts) => [...experts])).size).toBeGreaterThan(1);
  });

  test("a head that does not exist and positions beyond the table are refused", async () => {
    using model = await tinyModel({ max_position_embeddings: 16 });
    scope(() => {
      const { last } = model.forward(tensor(model.device, series.slice(0, 16), [1, 16]));
      expect(() => model.predict(last, 3)).toThrow(new ValueError("predict: head 3 does not exist; there are 3"));
      expect(() => model.forward(tensor(model.device, series, [1, 24]))).toThrow("max_position_embeddings");
    });
  });
});
