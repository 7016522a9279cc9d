import { testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { PreGatedRouter, TopKRouter } from "../../../src/moe/index.ts";
import { multiply, sum, Tape } from "../../../src/ops/index.ts";
import { RandomKey, scope, type Tensor, tensor } from "../../../src/tensor/index.ts";

const device = await testDevice();

const [N, H, E, K] = [9, 5, 4, 2];
const sizes = { hiddenSize: H, numExperts: E, topK: K };
const rows = (seed: number, count = N) => tensor(device, Float32Array.from(uniformArray(count * H, seed)), [count, H]);
const initialized = <R extends PreGatedRouter | TopKRouter>(router: R) => router.initialize(new RandomKey(8)) as R;

describe("PreGatedRouter", () => {
  test("a block takes the route that the block before chose from its own input, gradient included", async () => {
    using first = initialized(new PreGatedRouter(device, { ...sizes, gate: true }));
    using last = new PreGatedRouter(device, { ...sizes, preGate: false });
    using plain = new TopKRouter(device, sizes);
    const preGate = first.preGate as NonNullable<typeof first.preGate>;
    plain.weight.write(await preGate.read());
    const x = rows(1);
    const upstream = tensor(device, Float32Array.from(uniformArray(N * K, 3)), [N * K]);
    const route = (weight: Tensor<"f32">, run: () => { weights: Tensor<"f32">; plan: { assignmentExpert: Tensor } }) =>
      scope(() => {
        const tape = new Tape([x, weight]);
        const { loss, experts, weights } = tape.run(() => {
          const { weights, plan } = run();
          return { loss: sum(multiply(weights, upstream)), experts: plan.assignmentExpert, weights };
        });
        const found = tape.backward(loss);
        return { reads: [experts, weights, found.get(x), found.get(weight)].map((one) => one?.read()) };
      });
    // Whatever the last block's input is, its route comes from x.
    const ours = route(preGate, () => last.route(rows(2), first.route(x).state));
    const expected = route(plain.weight, () => plain.route(x));
    expect(await Promise.all(ours.reads)).toEqual(await Promise.all(expected.reads));
  });

  test("the first block's own experts are those of its gate", async () => {
    using first = initialized(new PreGatedRouter(device, { ...sizes, gate: true }));
    using plain = new TopKRouter(device, sizes);
    plain.weight.write(await (first.gate as NonNullable<typeof first.gate>).read());
    const reads = scope(() => [first, plain].map((router) => router.route(rows(1)).weights.read()));
    const [ours, expected] = await Promise.all(reads);
    expect(ours).toEqual(expected);
  });

  test("without a gate and a route there is nothing to choose by", () => {
    using router = new PreGatedRouter(device, sizes);
    expect(() => scope(() => void router.route(rows(1)))).toThrow("the block has no gate");
  });

  test("a route for other tokens is an error", () => {
    using first = initialized(new PreGatedRouter(device, { ...sizes, gate: true }));
    using last = new PreGatedRouter(device, { ...sizes, preGate: false });
    expect(() => scope(() => void last.route(rows(2, 3), first.route(rows(1)).state))).toThrow("is not for 3 tokens");
  });
});
