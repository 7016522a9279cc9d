import { expectClose, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { zeros } from "../../src/nn/initializers.ts";
import { Parameter } from "../../src/nn/module.ts";
import { ParameterAverage } from "../../src/optim/index.ts";

const device = await testDevice();

function parameter(size: number, values: ArrayLike<number>): Parameter {
  const made = new Parameter(device, [size], zeros);
  made.write(Float32Array.from(values));
  return made;
}

describe("ParameterAverage", () => {
  test("matches float64 over twenty steps", async () => {
    const start = uniformArray(13, 0);
    const p = parameter(13, start);
    using average = new ParameterAverage(new Map([["p", p]]), { decay: 0.9 });
    const expected = Float64Array.from(start);
    for (let step = 1; step <= 20; step++) {
      const values = uniformArray(13, step);
      p.write(Float32Array.from(values));
      average.update();
      for (let i = 0; i < 13; i++) expected[i] = 0.9 * (expected[i] ?? 0) + 0.1 * (values[i] ?? 0);
    }
    expectClose("average", (await average.state().get("p")?.read()) ?? [], expected, 1e-6);
  });

  test("a swap shows the averages, a second one brings the parameters back, bit for bit", async () => {
    const p = parameter(4, [1, 2, 3, 4]);
    using average = new ParameterAverage(new Map([["p", p]]), { decay: 0.5 });
    p.write(Float32Array.of(3, 4, 5, 6));
    average.update();
    average.swap();
    expect([...(await p.read())]).toEqual([2, 3, 4, 5]);
    average.swap();
    expect([...(await p.read())]).toEqual([3, 4, 5, 6]);
    expect([...((await average.state().get("p")?.read()) ?? [])]).toEqual([2, 3, 4, 5]);
  });

  test("reset begins again from the parameters", async () => {
    const p = parameter(3, [1, 2, 3]);
    using average = new ParameterAverage(new Map([["p", p]]), { decay: 0.5 });
    p.write(Float32Array.of(7, 8, 9));
    average.reset();
    expect([...((await average.state().get("p")?.read()) ?? [])]).toEqual([7, 8, 9]);
  });

  test("a decay of 1 would never move and is an error", () => {
    expect(() => new ParameterAverage(new Map(), { decay: 1 })).toThrow("need 0 ≤ decay < 1, got 1");
  });
});
