import { testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { ResidualRouter } from "../../examples/residual-router.ts";
import { balanceLoss, MlpExperts, MoeLayer } from "../../src/moe/index.ts";
import { Tape } from "../../src/ops/index.ts";
import { RandomKey, scope, type Tensor, tensor } from "../../src/tensor/index.ts";
import { rowsOf, times } from "./layer-reference.ts";

const device = await testDevice();

const [N, H, E] = [7, 4, 3];

function layers() {
  const of = (seed: number) =>
    new MoeLayer(device, {
      router: new ResidualRouter(device, { hiddenSize: H, numExperts: E, topK: 1 }),
      experts: new MlpExperts(device, { hiddenSize: H, intermediateSize: 5, numExperts: E }),
    }).initialize(new RandomKey(seed));
  return [of(1), of(2)] as const;
}

describe("a router of one's own", () => {
  test("passes its state from layer to layer", async () => {
    const [first, second] = layers();
    const x = uniformArray(N * H, 3);
    const { reads } = scope(() => {
      const a = first.forward(tensor(device, Float32Array.from(x), [N, H]));
      // The same input again: the second layer's logits are the sum of both products.
      const b = second.forward(tensor(device, Float32Array.from(x), [N, H]), { state: a.routing.state });
      return { reads: [b.routing.logits.read(), first.router.parameters().get("weight")?.read()] as const };
    });
    const weights = [await reads[1], await second.router.parameters().get("weight")?.read()];
    const expected = rowsOf(x, H).flatMap((row) => {
      const [own, before] = weights.map((weight) => times(weight ?? [], 0, E, row)) as [number[], number[]];
      return own.map((value, e) => value + (before[e] as number));
    });
    for (const [i, logit] of (await reads[0]).entries()) expect(logit).toBeCloseTo(expected[i] as number, 6);
  });

  test("learns through the state that it passes on", async () => {
    const [first, second] = layers();
    const routers = [first, second].map(({ router }) => router.parameters().get("weight") as Tensor<"f32">);
    const { gradient } = scope(() => {
      const x = tensor(device, Float32Array.from(uniformArray(N * H, 3)), [N, H]);
      const tape = new Tape(routers);
      const loss = tape.run(() => {
        const { routing } = first.forward(x);
        return balanceLoss([second.forward(x, { state: routing.state }).routing]);
      });
      // The balance loss of the second layer reaches the first layer's router through the state alone.
      return {
        gradient: tape
          .backward(loss)
          .get(routers[0] as Tensor)
          ?.read(),
      };
    });
    expect((await gradient)?.some((value) => Math.abs(value) > 1e-6)).toBe(true);
  });
});
