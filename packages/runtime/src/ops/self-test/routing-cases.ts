import type { Device } from "../../device/device.ts";
import { argsortDescending } from "../../kernels/argsort.ts";
import { balancedAssignment } from "../../kernels/balanced-assignment.ts";
import { compactPlan } from "../../kernels/compact-choices.ts";
import { countExperts } from "../../kernels/count-experts.ts";
import { countingSort } from "../../kernels/counting-sort.ts";
import { mergeDuplicates } from "../../kernels/merge-duplicates.ts";
import { buildPlan } from "../../kernels/plan.ts";
import { prefixSum } from "../../kernels/prefix-sum.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { gatherRows } from "../gather-rows.ts";
import { combineLinear, expandLinear } from "../row-groups.ts";
import { sinkhorn } from "../sinkhorn.ts";
import { takeAlong, topK } from "../top-k.ts";
import { at, rowsOf } from "./references.ts";
import type { SelfTestCase } from "./self-test.ts";

type F32 = Tensor<"f32">;

const NONE = 0xffffffff;
const NUM_EXPERTS = 3;
/** Two choices of each of six tokens; nobody chooses expert 1. */
const CHOICES = [0, 2, 2, 0, 2, 0, 0, 2, 2, 0, 2, 0];
const NUM_TOKENS = CHOICES.length / 2;
/** Assignments by expert, each expert's in token order. */
const SORTED = [0, 3, 5, 6, 9, 11, 1, 2, 4, 7, 8, 10];

function planOf(device: Device, weights: F32) {
  const experts = tensor(device, Uint32Array.from(CHOICES), [NUM_TOKENS, 2]);
  const plan = buildPlan(experts, weights, {
    numExperts: NUM_EXPERTS,
    capacity: CHOICES.length,
    priority: "token",
    mask: undefined,
  });
  return { ...plan, experts, numTokens: NUM_TOKENS, numGroups: NUM_EXPERTS, maxAssignments: CHOICES.length };
}

/** Rows, then columns over their sums, three times. */
function shareOut(logits: Float64Array, n: number): Float64Array {
  const p = logits.map(Math.exp);
  const divide = (place: (line: number, k: number) => number) => {
    for (let line = 0; line < n; line++) {
      const places = Array.from({ length: n }, (_, k) => place(line, k));
      const total = places.reduce((sum, i) => sum + (p[i] as number), 0);
      for (const i of places) p[i] = (p[i] as number) / total;
    }
  };
  for (let t = 0; t < 3; t++) {
    divide((row, column) => row * n + column);
    divide((column, row) => row * n + column);
  }
  return p;
}

export const ROUTING_CASES: readonly SelfTestCase[] = [
  {
    family: "Sinkhorn",
    tolerance: 1e-5,
    inputs: [[1, 5, 5]],
    run: (_, x) => [sinkhorn(x as F32, 3)],
    reference: (x) => [shareOut(x as Float64Array, 5)],
    differentiate: true,
  },
  {
    family: "top-k",
    tolerance: 0,
    inputs: [[5, 12]],
    run: (_, x) => {
      const { values, indices } = topK(x, 3);
      return [values, indices];
    },
    reference: (x) => {
      const best = rowsOf(x, 12).map((row) =>
        [...row.entries()].sort((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, 3),
      );
      return [best.flat().map(([, value]) => value), best.flat().map(([index]) => index)];
    },
  },
  {
    family: "take and put along",
    tolerance: 1e-6,
    inputs: [[2, 9]],
    run: (device, x) => [takeAlong(x, tensor(device, Uint32Array.of(8, 0, 4, 1, 7, 3), [2, 3]))],
    reference: (x) => [[8, 0, 4, 10, 16, 12].map((i) => at(x, i))],
    differentiate: true,
  },
  {
    family: "prefix sum",
    tolerance: 0,
    inputs: [],
    // Three chunks.
    run: (device) => [
      prefixSum(
        tensor(
          device,
          Uint32Array.from({ length: 600 }, (_, i) => i),
        ),
      ),
    ],
    reference: () => [Array.from({ length: 601 }, (_, i) => (i * (i - 1)) / 2)],
  },
  {
    family: "gather and scatter rows",
    tolerance: 1e-6,
    inputs: [[3, 4]],
    run: (device, x) => [gatherRows(x, tensor(device, Uint32Array.of(2, NONE, 0, 2)))],
    reference: (x) => [[2, 3, 0, 2].flatMap((r) => Array.from({ length: 4 }, (_, j) => at(x, r * 4 + j)))],
    differentiate: true,
  },
  {
    family: "counting sort",
    tolerance: 0,
    inputs: [],
    run: (device) => {
      const { counts, offsets, order, slots } = countingSort(tensor(device, Uint32Array.of(2, 0, 2, 3, 0)), 4);
      return [counts, offsets, order, slots];
    },
    reference: () => [
      [2, 0, 2, 1],
      [0, 2, 2, 4, 5],
      [1, 4, 0, 2, 3],
      [2, 0, 3, 4, 1],
    ],
  },
  {
    family: "routing plan",
    tolerance: 0,
    inputs: [[NUM_TOKENS, 2]],
    run: (device, weights) => {
      const { groupOffsets, slotAssignment, slotToken, assignmentSlot, status } = planOf(device, weights);
      return [groupOffsets, slotAssignment, slotToken, assignmentSlot, status];
    },
    reference: () => [
      [0, 6, 6, 12],
      SORTED,
      SORTED.map((assignment) => Math.floor(assignment / 2)),
      CHOICES.map((_, assignment) => SORTED.indexOf(assignment)),
      [12, 0, 0, 0],
    ],
  },
  ...[true, false].map(
    (few): SelfTestCase => ({
      family: `routing plan, capacity, ${few ? "few" : "many"} assignments`,
      tolerance: 0,
      inputs: [[3, 1]],
      run: (device, weights) => {
        const experts = tensor(device, Uint32Array.of(1, 1, 0), [3, 1]);
        const options = { numExperts: 2, capacity: 1, priority: "token", mask: undefined } as const;
        const { groupOffsets, assignmentSlot, status } = buildPlan(experts, weights, options, few);
        return [groupOffsets, assignmentSlot, status];
      },
      reference: () => [
        [0, 1, 2],
        [1, NONE, 0],
        [2, 1, 0, 0],
      ],
    }),
  ),
  {
    family: "compact routing plan",
    tolerance: 0,
    inputs: [[3, 2]],
    run: (device, weights) => {
      const experts = tensor(device, Uint32Array.of(1, NONE, NONE, 0, 0, 1), [3, 2]);
      const options = { numExperts: 2, capacity: 3, priority: "token", mask: undefined } as const;
      const plan = compactPlan(experts, 3, undefined, (bounded) => buildPlan(bounded, weights, options));
      return [plan.assignmentExpert, plan.tokenOffsets, plan.slotAssignment, plan.slotToken, plan.status];
    },
    reference: () => [
      [1, 0, 0],
      [0, 1, 2, 3],
      [1, 2, 0],
      [1, 2, 0],
      [3, 0, 1, 0],
    ],
  },
  {
    family: "merging duplicate choices",
    tolerance: 1e-6,
    inputs: [[2, 3]],
    run: (device, weights) => {
      const merged = mergeDuplicates(tensor(device, Uint32Array.of(4, 1, 4, 2, 0, NONE), [2, 3]), weights);
      return [merged.experts, merged.weights, merged.first];
    },
    reference: (weights) => [
      [4, 1, NONE, 2, 0, NONE],
      [at(weights, 0) + at(weights, 2), at(weights, 1), 0, at(weights, 3), at(weights, 4), at(weights, 5)],
      [0, 1, 0, 0, 1, 2],
    ],
  },
  ...[true, false].map(
    (few): SelfTestCase => ({
      family: `falling order of ${few ? "few" : "many"} values`,
      tolerance: 0,
      inputs: [[70]],
      run: (_, x) => [argsortDescending(x, few)],
      reference: (x) => [[...x.keys()].sort((a, b) => at(x, b) - at(x, a) || a - b)],
    }),
  ),
  {
    family: "balanced assignment",
    tolerance: 0,
    inputs: [],
    // All prefer column 0, whose three places go to those who would lose most: 9 − 0, 7 − 1 and 5 − 2.
    run: (device) => [balancedAssignment(tensor(device, [5, 2, 9, 0, 4, 3, 7, 1, 6, 4, 2, 1], [6, 2]), { chunk: 6 })],
    reference: () => [[0, 0, 1, 0, 1, 1]],
  },
  {
    family: "expert counts",
    tolerance: 0,
    inputs: [[NUM_TOKENS, 2]],
    run: (device, weights) => {
      const { experts, ...plan } = planOf(device, weights);
      return [countExperts({ ...plan, assignmentExpert: experts }, { numExperts: NUM_EXPERTS })];
    },
    reference: () => [[6, 0, 6]],
  },
  {
    family: "gemm, grouped",
    tolerance: 2e-5,
    inputs: [[NUM_TOKENS, 8], [NUM_EXPERTS, 5, 8], [NUM_EXPERTS, 8, 5], [CHOICES.length]],
    run: (device, x, up, down, weights) => {
      const plan = planOf(device, weights as F32);
      return [combineLinear(expandLinear(x, up as F32, plan), down as F32, weights as F32, plan)];
    },
    reference: (x, up, down, weights) => {
      const y = new Float64Array(NUM_TOKENS * 8);
      for (const [assignment, expert] of CHOICES.entries()) {
        const token = Math.floor(assignment / 2);
        for (let i = 0; i < 5; i++) {
          let hidden = 0;
          for (let k = 0; k < 8; k++) hidden += at(up, (expert * 5 + i) * 8 + k) * at(x, token * 8 + k);
          for (let o = 0; o < 8; o++)
            y[token * 8 + o] =
              at(y, token * 8 + o) + at(weights, assignment) * at(down, (expert * 8 + o) * 5 + i) * hidden;
        }
      }
      return [y];
    },
    differentiate: true,
  },
];
