import { ValueError } from "../device/errors.ts";
import { NONE } from "./plan.ts";
import type { Routing } from "./routing.ts";

/** The head of a routing trace file. Format: JSON lines, this header first, then one TraceVisit per MoE layer and step. */
export interface TraceHeader {
  model: string;
  layers: number;
  experts: number;
  top_k: number;
  /** Bytes of an expert's weights: of all, or by layer. */
  expert_bytes: number | number[];
  bits_per_weight: number;
}

/** One execution of one MoE layer for one batch. */
export interface TraceVisit {
  step: number;
  layer: number;
  /** The experts that ran for each token, best first: none for padding, and none that had no room. */
  tokens: number[][];
  /** Weights in the same order. */
  weights?: number[][];
}

export interface Trace {
  header: TraceHeader;
  /** In order of execution. */
  visits: TraceVisit[];
}

/** Reads which experts each token of a step used, one visit a layer. The copies are recorded at once. */
export async function traceVisits(step: number, routings: readonly Routing[]): Promise<TraceVisit[]> {
  const reads = routings.map(({ plan, weights }) =>
    Promise.all([plan.tokenOffsets.read(), plan.assignmentExpert.read(), plan.assignmentSlot.read(), weights.read()]),
  );
  return (await Promise.all(reads)).map(([offsets, experts, slots, weights], layer) => {
    const tokens: number[][] = [];
    const kept: number[][] = [];
    for (const [token, begin] of offsets.subarray(0, -1).entries()) {
      const end = offsets[token + 1] ?? begin;
      const ran = Array.from({ length: end - begin }, (_, k) => begin + k).filter((a) => slots[a] !== NONE);
      tokens.push(ran.map((a) => experts[a] as number));
      kept.push(ran.map((a) => weights[a] as number));
    }
    return { step, layer, tokens, weights: kept };
  });
}

/** A trace as the text of its file. */
export function formatTrace({ header, visits }: Trace): string {
  return `${[header, ...visits].map((record) => JSON.stringify(record)).join("\n")}\n`;
}

/** @throws {ValueError} naming the line that is not a trace record, or whose layer or expert the header does not have */
export function parseTrace(text: string): Trace {
  const records = text
    .split("\n")
    .flatMap((line, index) => (line.trim() ? [{ line: index + 1, record: parse(line, index + 1) }] : []));
  const [first, ...rest] = records;
  const header = first?.record as TraceHeader | undefined;
  if (![header?.layers, header?.experts, header?.top_k].every(Number.isInteger))
    throw new ValueError("trace: line 1 must be a header with layers, experts and top_k");
  const { layers, experts } = header as TraceHeader;
  const isBelow = (limit: number) => (id: unknown) =>
    Number.isInteger(id) && (id as number) >= 0 && (id as number) < limit;
  const visits = rest.map(({ line, record }) => {
    const { layer, tokens } = record as TraceVisit;
    if (!isBelow(layers)(layer)) throw new ValueError(`trace: line ${line}: layer ${layer} is none of ${layers}`);
    if (!Array.isArray(tokens) || !tokens.every((ids) => Array.isArray(ids) && ids.every(isBelow(experts))))
      throw new ValueError(`trace: line ${line}: tokens must be lists of expert ids below ${experts}`);
    return record as TraceVisit;
  });
  return { header: header as TraceHeader, visits };
}

function parse(text: string, line: number): unknown {
  try {
    const record: unknown = JSON.parse(text);
    if (typeof record === "object" && record !== null) return record;
  } catch {
    // said below
  }
  throw new ValueError(`trace: line ${line} is not a JSON object`);
}
