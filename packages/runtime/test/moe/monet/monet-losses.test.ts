import { checkOp, testDevice } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { ambiguityLoss, type ProductRouting, uniformityLoss } from "../../../src/moe/index.ts";
import { softmax } from "../../../src/ops/index.ts";
import { scope, type Tensor, tensor } from "../../../src/tensor/index.ts";
import { rowsOf, softmax as softmaxOf } from "../layer-reference.ts";

const device = await testDevice();

type F32 = Tensor<"f32">;

const routingOf = (g1: F32, g2: F32): ProductRouting => ({ kind: "product", g1, g2, norm1: g1, norm2: g2 });

/** Gates [N, 1, M], the same on both axes. */
const loss = (of: typeof uniformityLoss, rows: number[][], mask?: number[]) =>
  scope(() => {
    const gates = tensor(device, rows.flat(), [rows.length, 1, rows[0]?.length ?? 0]);
    return { value: of([routingOf(gates, gates)], { mask: mask && tensor(device, mask) }).item() };
  }).value;

const sure = [
  [1, 0],
  [0, 1],
];
const undecided = [
  [0.5, 0.5],
  [0.5, 0.5],
];
const collapsed = [
  [1, 0],
  [1, 0],
];

describe("uniformityLoss", () => {
  test.each([
    ["ln M for sure tokens that share the keys evenly", sure, Math.log(2)],
    ["ln M for undecided tokens", undecided, Math.log(2)],
    // −(ln 1 + ln 1e-8) / 2
    ["far more when one key takes all", collapsed, -Math.log(1e-8) / 2],
  ])("is %s", async (_, gates, expected) => {
    expect(await loss(uniformityLoss, gates)).toBeCloseTo(expected, 4);
  });
});

describe("ambiguityLoss", () => {
  test.each([
    ["0 for sure tokens", sure, 0],
    ["0 though one key takes all", collapsed, 0],
    ["1 − 1/M for undecided tokens", undecided, 0.5],
  ])("is %s", async (_, gates, expected) => {
    expect(await loss(ambiguityLoss, gates)).toBeCloseTo(expected, 6);
  });
});

test("padding counts in neither", async () => {
  const padded = [...sure, [1, 0]];
  expect(await loss(uniformityLoss, padded, [1, 1, 0])).toBeCloseTo(Math.log(2), 5);
  expect(await loss(ambiguityLoss, [...undecided, [1, 0]], [1, 1, 0])).toBeCloseTo(0.5, 6);
});

test("gradients of both match finite differences, over two layers", async () => {
  const [N, heads, M] = [6, 2, 5];
  const gates = (x: Float64Array) => rowsOf(x, M).map(softmaxOf); // [N · heads][M]
  const meanLoss = (x: Float64Array) => {
    const rows = gates(x);
    let [uniformity, ambiguity] = [0, 0];
    for (let h = 0; h < heads; h++) {
      const own = rows.filter((_, r) => r % heads === h);
      for (let i = 0; i < M; i++)
        uniformity -= Math.log(own.reduce((sum, row) => sum + (row[i] as number), 0) / N + 1e-8) / (heads * M);
      ambiguity += own.reduce((sum, row) => sum + 1 - Math.max(...row), 0) / (heads * N);
    }
    return [uniformity, ambiguity] as const;
  };
  for (const [which, of] of [uniformityLoss, ambiguityLoss].entries())
    await checkOp(device, {
      op: (...scores) => {
        const [a, b, c, d] = scores.map(softmax) as [F32, F32, F32, F32];
        return of([routingOf(a, b), routingOf(c, d)]);
      },
      reference: (...scores) => [scores.reduce((sum, x) => sum + (meanLoss(x)[which] as number), 0) / 4],
      inputs: Array.from({ length: 4 }, () => ({ shape: [N, heads, M], low: -2, high: 2 })),
      step: 1e-5,
    });
});

test("no routing is an error", () => {
  expect(() => uniformityLoss([])).toThrow("uniformityLoss: needs the routing of at least one layer");
});
