import type { Device } from "@moebius/runtime/device";
import { ExpertChoiceRouter } from "@moebius/runtime/moe";
import { compareGate, EXACT, type GateCase, gateCases, OUTPUT, transposed } from "../gate-case.ts";
import type { ParitySystem } from "../system.ts";

export const gatesExpertChoice: ParitySystem = {
  name: "gates-expert-choice",
  recognises: ({ config, name }) =>
    config.gate === "expert choice (top items per expert)" || name.startsWith("gates-expert-choice"),
  async run(golden, device) {
    for (const c of gateCases(golden)) await compareCase(c, device);
  },
};

async function compareCase(c: GateCase, device: Device): Promise<void> {
  const [groups, groupSize] = [c.number("groups"), c.number("group_size")];
  const [hiddenSize, numExperts] = [c.number("hidden"), c.number("num_experts")];
  const noiseStd = c.number("noise_std");
  using router = new ExpertChoiceRouter(device, {
    hiddenSize,
    numExperts,
    capacityFactor: c.number("capacity_factor"),
    capacityMultipleOf: c.optionalNumber("capacity_multiple_of") ?? 1,
    groupSize,
    noiseStd,
  });
  router.load(new Map([["weight", transposed(c.values("param.router"), hiddenSize)]]));
  const numTokens = groups * groupSize;
  const { experts, weights, tokenOffsets } = await compareGate(c, device, {
    router,
    route: (x) => {
      const noise = noiseStd > 0 ? { noise: c.tensor(device, "noise", [numTokens, numExperts]) } : {};
      const routing = router.route(x, undefined, noise);
      return { routing, outputs: { logits: routing.logits, probs: routing.probs } };
    },
  });
  c.compare("capacity", [router.capacity(groupSize)], EXACT);
  const perToken = Array.from({ length: numTokens }, (_, n) => Number(tokenOffsets[n + 1]) - Number(tokenOffsets[n]));
  c.compare("experts_per_token", perToken, EXACT);

  // What each expert took of each group, best first.
  const taken = perToken.flatMap((count, n) => {
    const begin = Number(tokenOffsets[n]);
    return Array.from({ length: count }, (_, k) => ({
      token: n % groupSize,
      queue: Math.floor(n / groupSize) * numExperts + Number(experts[begin + k]),
      weight: Number(weights[begin + k]),
    }));
  });
  const queues = taken.sort((a, b) => a.queue - b.queue || b.weight - a.weight || a.token - b.token);
  const tokens = queues.map(({ token }) => token);
  c.compare("token_index", tokens, EXACT);
  const gates = queues.map(({ weight }) => weight);
  c.compare("gate", gates, OUTPUT);

  const figureOf = (values: number[], figure: (group: number[]) => number) => {
    const length = values.length / groups;
    return Array.from({ length: groups }, (_, g) => figure(values.slice(g * length, (g + 1) * length)));
  };
  const [least, most] = [(group: number[]) => Math.min(...group), (group: number[]) => Math.max(...group)];
  c.compare("metrics.min_selected_gate", figureOf(gates, least), OUTPUT);
  c.compare("metrics.max_selected_gate", figureOf(gates, most), OUTPUT);
  c.compare("metrics.num_experts_per_item_min", figureOf(perToken, least), EXACT);
  c.compare("metrics.num_experts_per_item_max", figureOf(perToken, most), EXACT);
  for (let floor = 1; floor <= numExperts; floor *= 2) {
    const share = (group: number[]) => group.filter((count) => count >= floor).length / groupSize;
    c.compare(`metrics.ratio_processed_items_by_at_least_${floor}_experts`, figureOf(perToken, share), OUTPUT);
  }
}
