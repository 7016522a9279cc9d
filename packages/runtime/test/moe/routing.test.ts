import { checkOp, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { combinePadded, dispatchPadded, mergeDuplicates, NONE, sparseRouting } from "../../src/moe/index.ts";
import { combineLinear, expandLinear, reshape, softmax, topK } from "../../src/ops/index.ts";
import { scope, type Tensor, tensor } from "../../src/tensor/index.ts";

const device = await testDevice();

type F32 = Tensor<"f32">;

const u32 = (values: number[], shape: number[]) => tensor(device, Uint32Array.from(values), shape);

describe("mergeDuplicates", () => {
  const choices = [3, 1, 3, 3, NONE, 0, NONE, 0];

  test("adds weights up at the first place, with the gradient of a sum", async () => {
    await checkOp(device, {
      op: (weights) => mergeDuplicates({ indices: u32(choices, [2, 4]), weights: weights as F32 }).weights,
      reference: (w) => {
        const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = w;
        return [a + c + d, b, 0, 0, e, f + h, g, 0];
      },
      inputs: [{ shape: [2, 4] }],
    });
    const { merged } = scope(() => ({
      merged: mergeDuplicates({ indices: u32(choices, [2, 4]), weights: tensor(device, new Float32Array(8), [2, 4]) })
        .indices,
    }));
    expect([...(await merged.read())]).toEqual([3, 1, NONE, NONE, NONE, 0, NONE, NONE]);
  });

  test("a plan of merged choices has one row for a token and expert", async () => {
    const { status } = scope(() => {
      const weights = tensor(device, new Float32Array(8).fill(0.25), [2, 4]);
      const probs = tensor(device, new Float32Array(8), [2, 4]);
      const merged = { indices: u32(choices, [2, 4]), weights, probs, logits: probs, mergeDuplicates: true };
      return { status: sparseRouting(merged).plan.status.read() };
    });
    expect([...(await status)]).toEqual([3, 0, 0, 0]);
  });
});

describe("compact routings", () => {
  test("weights follow their assignments, and gradients find back", async () => {
    // Token 0 uses places 1 and 2, token 1 none, token 2 all; room for four of five.
    const places = [NONE, 0, 2, NONE, NONE, NONE, 1, 0, 2];
    await checkOp(device, {
      op: (weights) => {
        const probs = tensor(device, new Float32Array(9), [3, 3]);
        const indices = u32(places, [3, 3]);
        return sparseRouting({ indices, weights: weights as F32, probs, logits: probs, maxAssignments: 4 }).weights;
      },
      reference: (w) => [1, 2, 6, 7].map((place) => w[place] as number),
      inputs: [{ shape: [3, 3] }],
    });
  });
});

describe("padded buffers", () => {
  const [N, H, E, F, K] = [17, 4, 5, 3, 2];

  function layer(x: F32, logits: F32, up: F32, capacity: number | undefined, compact: boolean) {
    const probs = softmax(logits);
    const { indices, values: weights } = topK(probs, K);
    const serving = { capacity, priority: "choice", ...(compact ? { maxAssignments: N * K } : {}) } as const;
    const routing = sparseRouting({ indices, weights, probs, logits, ...serving });
    return { routing, rows: expandLinear(x, up, routing.plan) };
  }

  test.each([
    ["without drops", undefined, N, false],
    ["with drops", 4, 4, false],
    ["wider than needed, of a compact plan", 4, 9, true],
  ])("give what the grouped product gives, %s", async (_, capacity, width, compact) => {
    const { reads } = scope(() => {
      const [x, logits, up, down] = [
        [N, H],
        [N, E],
        [E, F, H],
        [E, H, F],
      ].map((shape, i) => {
        const size = shape.reduce((a, b) => a * b);
        return tensor(device, Float32Array.from(uniformArray(size, i + 1, -2, 2)), shape);
      }) as [F32, F32, F32, F32];
      const { routing, rows } = layer(x, logits, up, capacity, compact);
      const grouped = combineLinear(rows, down, routing.weights, routing.plan);
      // The same through dense batches: an expert's buffer is the rows of a plan of its own.
      const buffer = dispatchPadded(x, routing.plan, width); // [E, width, H]
      const offsets = u32(
        Array.from({ length: E + 1 }, (_, e) => e * width),
        [E + 1],
      );
      const all = u32([...Array(E * width).keys()], [E * width]);
      const one = u32([...Array(E * width + 1).keys()], [E * width + 1]);
      const dense = {
        numTokens: E * width,
        numGroups: E,
        maxAssignments: E * width,
        groupOffsets: offsets,
        slotToken: all,
        slotAssignment: all,
        assignmentSlot: all,
        tokenOffsets: one,
      };
      const inputs = reshape(buffer, [E * width, H]);
      const ones = tensor(device, new Float32Array(E * width).fill(1));
      const outputs = combineLinear(expandLinear(inputs, up, dense), down, ones, dense);
      const padded = combinePadded(reshape(outputs, [E, width, H]), routing);
      return { reads: [grouped.read(), padded.read(), routing.plan.status.read()] as const };
    });
    const [grouped, padded, status] = await Promise.all(reads);
    for (const [i, value] of padded.entries()) expect(value).toBeCloseTo(grouped[i] as number, 5);
    expect(status[1] === 0).toBe(capacity === undefined);
  });
});
