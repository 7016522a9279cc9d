import { NONE, type RoutingPlan } from "../../src/moe/plan.ts";

export interface PlanCase {
  numTokens: number;
  topK: number;
  numExperts: number;
  /** [N, K] */
  experts: readonly number[];
  capacity?: number;
  priority?: "token" | "choice";
  /** [N] */
  mask?: readonly number[];
}

/** The fields of a plan as plain arrays. */
export type HostPlan = Record<(typeof FIELDS)[number], number[]>;

const FIELDS = [
  "assignmentToken",
  "assignmentExpert",
  "tokenOffsets",
  "assignmentSlot",
  "slotAssignment",
  "slotToken",
  "groupOffsets",
  "status",
] as const;

export async function readPlan(plan: RoutingPlan): Promise<HostPlan> {
  const entries = FIELDS.map(async (name) => [name, [...(await plan[name].read())]] as const);
  return Object.fromEntries(await Promise.all(entries)) as HostPlan;
}

/** The same plan, served one assignment at a time. */
export function referencePlan({
  numTokens: N,
  topK: K,
  numExperts: E,
  experts,
  capacity = N * K,
  priority,
  mask,
}: PlanCase): HostPlan {
  const inTokenOrder = Array.from({ length: N * K }, (_, a) => a);
  const choiceOf = (a: number) => a % K;
  const served = priority === "choice" ? inTokenOrder.toSorted((a, b) => choiceOf(a) - choiceOf(b)) : inTokenOrder;
  const rows: number[][] = Array.from({ length: E }, () => []);
  let dropped = 0;
  for (const a of served) {
    const group = rows[experts[a] as number];
    if (!group || mask?.[Math.floor(a / K)] === 0) continue;
    if (group.length < capacity) group.push(a);
    else dropped++;
  }
  const slotAssignment = rows.flat();
  const assignmentSlot = inTokenOrder.map((a) => (slotAssignment.includes(a) ? slotAssignment.indexOf(a) : NONE));
  const beyond = N * K - slotAssignment.length;
  const groupOffsets = [0];
  for (const group of rows) groupOffsets.push((groupOffsets.at(-1) as number) + group.length);
  return {
    assignmentToken: inTokenOrder.map((a) => Math.floor(a / K)),
    assignmentExpert: [...experts],
    tokenOffsets: Array.from({ length: N + 1 }, (_, n) => n * K),
    assignmentSlot,
    slotAssignment: [...slotAssignment, ...new Array<number>(beyond).fill(NONE)],
    slotToken: [...slotAssignment.map((a) => Math.floor(a / K)), ...new Array<number>(beyond).fill(0)],
    groupOffsets,
    status: [slotAssignment.length, dropped, 0, 0],
  };
}
