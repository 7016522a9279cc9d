import { ones } from "../../kernels/fill.ts";
import { addScalar, multiply, negate } from "../../ops/elementwise.ts";
import { concat } from "../../ops/layout.ts";
import { matmul } from "../../ops/matmul.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";

type F32 = Tensor<"f32">;

/** A turn of a path: at a decision, taken with probability s, or not, with 1 − s. */
export interface Turn {
  decision: number;
  taken: boolean;
}

/**
 * The probability of each path: the product over its turns of s or 1 − s. A factor that is exactly 0 makes it exactly 0.
 * @param decisions [R, D] s of each decision
 * @param paths one an expert (n)
 * @returns [R, n]
 */
export function pathProbabilities(decisions: F32, paths: readonly (readonly Turn[])[]): F32 {
  const { device } = decisions;
  const [rows, D] = [decisions.axis(0), decisions.axis(1)];
  const factors = concat([decisions, addScalar(negate(decisions), 1), ones(device, [rows, 1], "f32")], 1);
  const depth = Math.max(...paths.map((turns) => turns.length));
  // Picking columns by a product with 0 and 1 is exact, and its gradient is the product with the transpose.
  const picked = Array.from({ length: depth }, (_, level) => {
    const picks = new Float32Array((2 * D + 1) * paths.length);
    for (const [path, turns] of paths.entries()) {
      const turn = turns[level];
      const factor = turn ? turn.decision + (turn.taken ? 0 : D) : 2 * D;
      picks[factor * paths.length + path] = 1;
    }
    return matmul(factors, tensor(device, picks, [2 * D + 1, paths.length]));
  });
  return picked.reduce(multiply);
}

/** The leaves of a heap-indexed tree with n leaves, depth first, left first: their heap nodes, and the turns (taken: left) to them. */
export function treePaths(numLeaves: number): { leaves: number[]; paths: Turn[][] } {
  const leaves: number[] = [];
  const paths: Turn[][] = [];
  const visit = (node: number, turns: Turn[]): void => {
    if (node >= numLeaves - 1) {
      leaves.push(node);
      paths.push(turns);
      return;
    }
    visit(2 * node + 1, [...turns, { decision: node, taken: true }]);
    visit(2 * node + 2, [...turns, { decision: node, taken: false }]);
  };
  visit(0, []);
  return { leaves, paths };
}

/** The binary codes of 0 … n − 1, most significant bit first: bit b of expert i is decision b, taken when the bit is set. */
export function codePaths(numExperts: number): Turn[][] {
  const bits = Math.max(1, Math.ceil(Math.log2(numExperts)));
  return Array.from({ length: numExperts }, (_, expert) =>
    Array.from({ length: bits }, (_, b) => ({ decision: b, taken: ((expert >> (bits - 1 - b)) & 1) === 1 })),
  );
}
