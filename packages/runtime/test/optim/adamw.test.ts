import { expectClose, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import type { Initializer } from "../../src/nn/initializers.ts";
import { Parameter } from "../../src/nn/module.ts";
import { adamw } from "../../src/optim/adamw.ts";
import { type Tensor, tensor } from "../../src/tensor/index.ts";

const device = await testDevice();
const nothing: Initializer = (_, shape) => new Float32Array(shape.length);

function parameter(shape: number[], values: ArrayLike<number>): Parameter {
  const made = new Parameter(device, shape, nothing);
  made.write(Float32Array.from(values));
  return made;
}

describe("adamw", () => {
  test("matches float64 over twenty steps, clipping and decay included", async () => {
    const shapes = { matrix: [5, 3], bias: [7] };
    const start = { matrix: uniformArray(15, 1), bias: uniformArray(7, 2) };
    const parameters = new Map(
      Object.entries(shapes).map(([name, shape]) => [name, parameter(shape, start[name as "matrix"])]),
    );
    const [rate, beta1, beta2, epsilon, weightDecay, clipNorm] = [0.05, 0.9, 0.99, 1e-8, 0.1, 1.5];
    using optimizer = adamw({ learningRate: rate, betas: [beta1, beta2], epsilon, weightDecay, clipNorm }).bind(
      parameters,
    );
    const expected = Object.entries(start).map(([name, p]) => ({
      name,
      p: Float64Array.from(p),
      m: new Float64Array(p.length),
      v: new Float64Array(p.length),
    }));
    for (let step = 0; step < 20; step++) {
      const gradients = expected.map(({ p }, k) => uniformArray(p.length, 100 + 2 * step + k, -2, 2));
      const given = new Map<Tensor, Tensor<"f32">>(
        [...parameters.values()].map((p, k) => [p, tensor(device, Float32Array.from(gradients[k] ?? []), p.shape)]),
      );
      const { control } = optimizer.step(given, step, 20);
      const norm = Math.sqrt(gradients.reduce((sum, g) => sum + g.reduce((a, b) => a + b * b, 0), 0));
      expectClose("norm and factor", await control.read(), [norm, Math.min(1, clipNorm / norm)], 1e-5);
      for (const [k, { name, p, m, v }] of expected.entries())
        for (let i = 0; i < p.length; i++) {
          const g = (gradients[k]?.[i] ?? 0) * Math.min(1, clipNorm / norm);
          m[i] = beta1 * (m[i] ?? 0) + (1 - beta1) * g;
          v[i] = beta2 * (v[i] ?? 0) + (1 - beta2) * g * g;
          const decay = name === "matrix" ? rate * weightDecay * (p[i] ?? 0) : 0; // vectors do not decay
          p[i] =
            (p[i] ?? 0) -
            (rate * (m[i] ?? 0)) /
              (1 - beta1 ** (step + 1)) /
              (Math.sqrt((v[i] ?? 0) / (1 - beta2 ** (step + 1))) + epsilon) -
            decay;
        }
    }
    for (const { name, p } of expected) expectClose(name, (await parameters.get(name)?.read()) ?? [], p, 1e-5);
  });

  test("a gradient that is not finite changes nothing and reports factor 0", async () => {
    const p = parameter([3], [1, 2, 3]);
    using optimizer = adamw({ learningRate: 0.1 }).bind(new Map([["p", p]]));
    const { control } = optimizer.step(new Map([[p, tensor(device, [1, Number.NaN, 1])]]), 0, 1);
    expect((await control.read())[1]).toBe(0);
    expect([...(await p.read())]).toEqual([1, 2, 3]);
    for (const moment of optimizer.state().values()) expect([...(await moment.read())]).toEqual([0, 0, 0]);
  });

  test("the first step is exactly the learning rate, whatever the gradient and the betas", async () => {
    const p = parameter([4], [0, 0, 0, 0]);
    using optimizer = adamw({ learningRate: 0.25 }).bind(new Map([["p", p]]));
    optimizer.step(new Map([[p, tensor(device, [3, -0.5, 100, -7])]]), 0, 1);
    expectClose("p", await p.read(), [-0.25, 0.25, -0.25, 0.25], 3e-7);
  });

  test("impossible settings are an error that names them", () => {
    expect(() => adamw({ learningRate: 1, betas: [1, 0.9] })).toThrow("adamw: need 0 ≤ betas < 1");
  });
});
