import type { Routing } from "./routing.ts";

/** The head of a routing trace file. Format: JSON lines, this header first, then one TraceVisit per MoE layer and step. */
export interface TraceHeader {
  model: string;
  layers: number;
  experts: number;
  top_k: number;
  /** Bytes of one expert's weights. */
  expert_bytes: number;
  bits_per_weight: number;
}

/** One execution of one MoE layer for one batch. */
export interface TraceVisit {
  step: number;
  layer: number;
  /** Expert ids of each token, best first. */
  tokens: number[][];
  /** Weights in the same order. */
  weights: number[][];
}

/** Reads which experts each token of a step used, one visit a layer. The copies are recorded at once. */
export async function traceVisits(step: number, routings: readonly Routing[]): Promise<TraceVisit[]> {
  const reads = routings.map(
    ({ plan, weights }) => [plan.numTokens, plan.assignmentExpert.read(), weights.read()] as const,
  );
  return Promise.all(
    reads.map(async ([numTokens, experts, weights], layer) => {
      const [ids, values] = await Promise.all([experts, weights]);
      const topK = ids.length / Math.max(1, numTokens);
      const rows = (flat: ArrayLike<number>) =>
        Array.from({ length: numTokens }, (_, n) => Array.from({ length: topK }, (_, k) => flat[n * topK + k] ?? 0));
      return { step, layer, tokens: rows(ids), weights: rows(values) };
    }),
  );
}

/** A trace as the text of its file. */
export function formatTrace(header: TraceHeader, visits: readonly TraceVisit[]): string {
  return `${[header, ...visits].map((record) => JSON.stringify(record)).join("\n")}\n`;
}
