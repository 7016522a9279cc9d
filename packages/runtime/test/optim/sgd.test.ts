import { expectClose, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { zeros } from "../../src/nn/initializers.ts";
import { Parameter } from "../../src/nn/module.ts";
import { sgd } from "../../src/optim/index.ts";
import { type Tensor, tensor } from "../../src/tensor/index.ts";

const device = await testDevice();

function parameter(shape: number[], values: ArrayLike<number>): Parameter {
  const made = new Parameter(device, shape, zeros);
  made.write(Float32Array.from(values));
  return made;
}

describe("sgd", () => {
  test.each([
    { momentum: 0, nesterov: false },
    { momentum: 0.9, nesterov: false },
    { momentum: 0.9, nesterov: true },
  ])("matches float64 over ten steps: momentum $momentum, nesterov $nesterov", async ({ momentum, nesterov }) => {
    const [rate, weightDecay] = [0.1, 0.05];
    const start = { matrix: uniformArray(12, 1), bias: uniformArray(7, 2) };
    const parameters = new Map([
      ["matrix", parameter([4, 3], start.matrix)],
      ["bias", parameter([7], start.bias)],
    ]);
    using optimizer = sgd({ learningRate: rate, momentum, nesterov, weightDecay }).bind(parameters);
    const expected = Object.entries(start).map(([name, values]) => ({
      name,
      p: Float64Array.from(values),
      v: new Float64Array(values.length),
    }));
    for (let step = 0; step < 10; step++) {
      const gradients = expected.map(({ p }, k) => uniformArray(p.length, 50 + 2 * step + k));
      const given = new Map<Tensor, Tensor<"f32">>(
        [...parameters.values()].map((p, k) => [p, tensor(device, Float32Array.from(gradients[k] ?? []), p.shape)]),
      );
      optimizer.step(given, step, 10);
      for (const [k, { name, p, v }] of expected.entries())
        for (let i = 0; i < p.length; i++) {
          const g = gradients[k]?.[i] ?? 0;
          v[i] = momentum * (v[i] ?? 0) + g;
          const direction = nesterov ? g + momentum * (v[i] ?? 0) : (v[i] ?? 0);
          const decay = name === "matrix" ? rate * weightDecay * (p[i] ?? 0) : 0; // vectors do not decay
          p[i] = (p[i] ?? 0) - rate * direction - decay;
        }
    }
    for (const { name, p } of expected) expectClose(name, (await parameters.get(name)?.read()) ?? [], p, 2e-6);
    expect([...optimizer.state().keys()]).toEqual(
      momentum > 0 ? ["matrix.momentum_buffer", "bias.momentum_buffer"] : [],
    );
  });

  test("a gradient that is not finite changes neither the parameter nor the velocity", async () => {
    const p = parameter([3], [1, 2, 3]);
    using optimizer = sgd({ learningRate: 0.1, momentum: 0.9 }).bind(new Map([["p", p]]));
    optimizer.step(new Map([[p, tensor(device, [1, Number.NaN, 1])]]), 0, 1);
    expect([...(await p.read())]).toEqual([1, 2, 3]);
    expect([...((await optimizer.state().get("p.momentum_buffer")?.read()) ?? [])]).toEqual([0, 0, 0]);
  });

  test("impossible settings are an error that names them", () => {
    expect(() => sgd({ learningRate: 1, momentum: 1 })).toThrow("sgd: need 0 ≤ momentum < 1");
    expect(() => sgd({ learningRate: 1, nesterov: true })).toThrow("nesterov needs momentum > 0");
  });
});
