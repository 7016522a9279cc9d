import { testDevice } from "@moebius/testing";
import { expect, test } from "vitest";
import { Parameter, zeros } from "../../src/nn/module.ts";
import { type Tensor, tensor } from "../../src/tensor/index.ts";
import { GradientLedger } from "../../src/train/index.ts";

const device = await testDevice();
const stats = (tokensPerExpert: number[]) => [{ tokensPerExpert, routerEntropy: 0, loadEntropy: 0, dropRate: 0 }];
function bank() {
  const p = new Parameter(device, [2, 2, 2], zeros);
  p.write(new Float32Array(8).fill(1));
  return p;
}
test("A: expert idle until now is not an error", async () => {
  const p = bank();
  const ledger = new GradientLedger(new Map([["moe.experts.w", p]]));
  const g = (a: number, b: number) =>
    new Map<Tensor, Tensor<"f32">>([[p, tensor(device, [a, a, a, a, b, b, b, b], [2, 2, 2])]]);
  ledger.close(0, await ledger.record(g(1, 0)), stats([5, 0]));
  p.write(Float32Array.from([2, 2, 2, 2, 1, 1, 1, 1]));
  expect(() => 0).not.toThrow();
  ledger.close(50, await ledger.record(g(1, 1)), stats([5, 3]));
});
test("B: a bank with tokens and no gradient at all is an error", async () => {
  const p = bank();
  const ledger = new GradientLedger(new Map([["moe.experts.w", p]]));
  const e = await ledger.record(new Map());
  expect(() => ledger.close(0, e, stats([5, 5]))).toThrow();
});
test("C: moved although the sum of squares is the same", async () => {
  const p = bank();
  const ledger = new GradientLedger(new Map([["moe.experts.w", p]]));
  const g = new Map<Tensor, Tensor<"f32">>([[p, tensor(device, new Float32Array(8).fill(1), [2, 2, 2])]]);
  p.write(Float32Array.from([1, 2, 1, 1, 1, 2, 1, 1]));
  ledger.close(0, await ledger.record(g), stats([5, 5]));
  p.write(Float32Array.from([2, 1, 1, 1, 2, 1, 1, 1]));
  expect(ledger.close(50, await ledger.record(g), stats([5, 5])).unmoved).toEqual([]);
});
