import { checkOp, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import {
  GruCell,
  RecurrentRouter,
  type RecurrentRouterOptions,
  type RecurrentState,
  RnnCell,
} from "../../../src/moe/index.ts";
import { sum, Tape } from "../../../src/ops/index.ts";
import { RandomKey, scope, tensor } from "../../../src/tensor/index.ts";
import { checkContract } from "./router-checks.ts";

const device = await testDevice();
const key = new RandomKey(6);
const [N, H, p] = [4, 5, 3];
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const x = () => tensor(device, Float32Array.from(uniformArray(N * H, 3)), [N, H]);

/** One step of a cell in float64, its parameters in the order of declaration: weight and bias of i and h, gate by gate. */
function cellReference(gates: readonly string[], inputs: Float64Array[]): Float64Array {
  const [z = new Float64Array(), h = new Float64Array(), ...parameters] = inputs;
  return h.map((old, at) => {
    const [n, j] = [Math.floor(at / p), at % p];
    const project = (gate: string, source: 0 | 1) => {
      const place = 4 * gates.indexOf(gate) + 2 * source;
      const from = source === 0 ? z : h;
      let total = parameters[place + 1]?.[j] as number;
      for (let i = 0; i < p; i++) total += (parameters[place]?.[j * p + i] as number) * (from[n * p + i] as number);
      return total;
    };
    if (gates.length === 1) return Math.tanh(project("n", 0) + project("n", 1));
    const reset = sigmoid(project("r", 0) + project("r", 1));
    const keep = sigmoid(project("z", 0) + project("z", 1));
    const candidate = Math.tanh(project("n", 0) + reset * project("n", 1));
    return (1 - keep) * candidate + keep * old;
  });
}

describe("cells over depth", () => {
  test.each([
    ["GRU", GruCell, ["r", "z", "n"]],
    ["RNN", RnnCell, ["n"]],
  ] as const)("%s: values and gradients of float64", async (_, Cell, gates) => {
    using cell = new Cell(device, p).initialize(key);
    const parameters = await Promise.all([...cell.parameters().values()].map((parameter) => parameter.read()));
    const values = parameters.map((read) => Float64Array.from(read));
    expect(values.length).toBe(4 * gates.length);
    await checkOp(device, {
      op: (z, h) => cell.forward(z, h),
      reference: (z, h) => cellReference(gates, [z, h, ...values]),
      inputs: [{ shape: [N, p] }, { shape: [N, p] }],
    });
  });
});

const sizes = { hiddenSize: H, numExperts: 4, topK: 2 };

describe("RecurrentRouter", () => {
  test("keeps the contract of routers", async () => {
    const cell = new GruCell(device, p).initialize(key);
    await checkContract((options) => new RecurrentRouter(device, { ...options, cell }), key);
    cell[Symbol.dispose]();
  });

  /** The gradient of the second layer's logits for the first layer's projection. */
  async function gradientAcross(passing: NonNullable<RecurrentRouterOptions["passing"]>): Promise<Float32Array> {
    using cell = new GruCell(device, p).initialize(key);
    const layers = [0, 1].map((i) => new RecurrentRouter(device, { ...sizes, cell, passing }).initialize(key.fold(i)));
    const [first, second] = layers as [RecurrentRouter, RecurrentRouter];
    const { gradient } = scope(() => {
      const tape = new Tape([first.project]);
      const loss = tape.run(() => sum(second.route(x(), first.route(x()).state).logits));
      return { gradient: tape.backward(loss).get(first.project)?.read() };
    });
    for (const layer of layers) layer[Symbol.dispose]();
    return (await gradient) ?? new Float32Array(p * H);
  }

  test("earlier routers get gradients through the state, unless it is detached or not passed", async () => {
    expect((await gradientAcross("state")).some((g) => g !== 0)).toBe(true);
    expect((await gradientAcross("detached")).every((g) => g === 0)).toBe(true);
    expect((await gradientAcross("none")).every((g) => g === 0)).toBe(true);
  });

  test("a state is a token's own: alone or in a batch, it is the same", async () => {
    using cell = new RnnCell(device, p).initialize(key);
    using router = new RecurrentRouter(device, { ...sizes, cell }).initialize(key);
    const rows = uniformArray(N * H, 3);
    const { all, alone } = scope(() => {
      const pass = (tokens: Float64Array) => {
        const input = tensor(device, Float32Array.from(tokens), [tokens.length / H, H]);
        const { state } = router.route(input);
        return (router.route(input, state).state as RecurrentState).hidden.read();
      };
      return { all: pass(rows), alone: pass(rows.slice(H, 2 * H)) };
    });
    expect([...(await alone)]).toEqual([...(await all).subarray(p, 2 * p)]);
  });

  test("refuses a state for other tokens", () => {
    using cell = new RnnCell(device, p).initialize(key);
    using router = new RecurrentRouter(device, { ...sizes, cell }).initialize(key);
    scope(() => {
      const hidden = tensor(device, new Float32Array(2 * p), [2, p]);
      expect(() => router.route(x(), { hidden })).toThrow("a state [2, 3] for 4 tokens, expected [4, 3]");
    });
  });
});
