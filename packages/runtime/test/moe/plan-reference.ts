import { NONE, type RoutingPlan } from "../../src/moe/plan.ts";

export interface PlanCase {
  numTokens: number;
  topK: number;
  numExperts: number;
  /** [N, K] */
  experts: readonly number[];
  capacity?: number;
  priority?: "token" | "choice";
  /** [N] the tokens, or [N · K] the places, as they are served */
  order?: readonly number[];
  routingGroups?: number;
  /** Closes gaps: see PlanOptions. */
  maxAssignments?: number;
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
export function referencePlan(c: PlanCase): HostPlan {
  const {
    numTokens: N,
    topK: K,
    numExperts: E,
    experts,
    capacity = N * K,
    priority,
    order,
    routingGroups = 1,
    mask,
  } = c;
  const groups = c.capacity === undefined ? 1 : routingGroups; // without a limit nobody counts
  // All places, or those in use.
  const places = Array.from({ length: N * K }, (_, place) => ({
    token: Math.floor(place / K),
    choice: place % K,
    place,
  }));
  const isWanted = ({ token, place }: { token: number; place: number }) =>
    mask?.[token] !== 0 && experts[place] !== NONE;
  const wanted = c.maxAssignments === undefined ? places : places.filter(isWanted);
  const A = Math.min(c.maxAssignments ?? N * K, N * K);
  const assignments = wanted.slice(0, A);

  const turn = (token: number) => (order ? order.indexOf(token) : token);
  const served = [...assignments.keys()].sort((a, b) => {
    const [first, second] = [assignments[a], assignments[b]];
    if (!first || !second) return 0;
    if (order && order.length !== N) return order.indexOf(first.place) - order.indexOf(second.place);
    const byTurn = turn(first.token) - turn(second.token);
    const byChoice = first.choice - second.choice;
    return priority === "choice" ? byChoice || byTurn : byTurn || byChoice;
  });
  const rows: number[][] = Array.from({ length: E * groups }, () => []);
  let dropped = 0;
  for (const a of served) {
    const { token = 0, place = 0 } = assignments[a] ?? {};
    const expert = experts[place] as number;
    const group = expert < E ? rows[expert * groups + Math.floor((token * groups) / N)] : undefined;
    if (!group || mask?.[token] === 0) continue;
    if (group.length < capacity) group.push(a);
    else dropped++;
  }
  const slotAssignment = rows.flat();
  const tokenOf = (a: number) => assignments[a]?.token as number;
  const fill = (values: number[], value: number) => [...values, ...new Array<number>(A - values.length).fill(value)];
  const upTo = (expert: number) => rows.slice(0, expert * groups).flat().length;
  const slotOf = (a: number) => (slotAssignment.includes(a) ? slotAssignment.indexOf(a) : NONE);
  return {
    assignmentToken: fill([...assignments.keys()].map(tokenOf), 0),
    assignmentExpert: fill(
      assignments.map(({ place }) => experts[place] as number),
      NONE,
    ),
    tokenOffsets: Array.from({ length: N + 1 }, (_, n) => assignments.filter(({ token }) => token < n).length),
    assignmentSlot: fill([...assignments.keys()].map(slotOf), NONE),
    slotAssignment: fill(slotAssignment, NONE),
    slotToken: fill(slotAssignment.map(tokenOf), 0),
    groupOffsets: Array.from({ length: E + 1 }, (_, expert) => upTo(expert)),
    status: [slotAssignment.length, dropped, wanted.length - assignments.length, 0],
  };
}
