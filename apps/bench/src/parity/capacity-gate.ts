import { type CapacityOptions, evenShareCapacity } from "@moebius/runtime/moe";
import { countsOf, EXACT, type GateCase, type GateOutcome } from "./gate-case.ts";

/** What the cases of gates that drop tokens beyond a capacity say in config.json, as DeepSpeed names it. */
export function capacityGate(c: GateCase) {
  const capacity: Required<Pick<CapacityOptions, "evalCapacityFactor" | "minCapacity" | "dropTokens">> = {
    evalCapacityFactor: c.number("capacity_factor"),
    minCapacity: c.number("min_capacity"),
    dropTokens: c.flag("drop_tokens"),
  };
  return {
    numTokens: c.number("tokens"),
    options: { hiddenSize: c.number("hidden"), numExperts: c.number("num_experts"), ...capacity },
  };
}

/**
 * Compares who was chosen, who found room, and how much of it there is.
 * @param topK choices of a token
 * @returns the experts of the choices that found room; −1 for others
 */
export function compareRoom(c: GateCase, { experts, slots }: GateOutcome, topK: number): Int32Array {
  const { numTokens, options } = capacityGate(c);
  const { numExperts, evalCapacityFactor: factor, minCapacity: minimum, dropTokens } = options;
  const kept = experts.map((expert, a) => (slots[a] === -1 ? -1 : expert));
  c.compare("expert_index", kept, EXACT);
  const counts = countsOf(experts, numExperts);
  c.compare("exp_counts", counts, EXACT);
  const share = evenShareCapacity(numTokens, numExperts, { factor, topK, minimum });
  c.compare("capacity", [dropTokens ? share : Math.max(...counts)], EXACT);
  return kept;
}
