import type { Device } from "@moebius/runtime/device";
import { groupBalance, groupImportance, groupLoad, VMoeRouter, visionCapacity } from "@moebius/runtime/moe";
import { add, argsortDescending, mean, reshape, scale, slice } from "@moebius/runtime/ops";
import { compareGate, EXACT, type GateCase, gateCases, OUTPUT, queuePlaces, transposed } from "../gate-case.ts";
import type { ParitySystem } from "../system.ts";

export const gatesVMoe: ParitySystem = {
  name: "gates-vmoe",
  recognises: ({ config, name }) =>
    config.gate === "V-MoE noisy top-k with batch priority" || name.startsWith("gates-vmoe"),
  async run(golden, device) {
    for (const c of gateCases(golden)) await compareCase(c, device);
  },
};

async function compareCase(c: GateCase, device: Device): Promise<void> {
  const [groups, groupSize] = [c.number("groups"), c.number("group_size")];
  const [hiddenSize, numExperts] = [c.number("hidden"), c.number("num_experts")];
  const [topK, capacityFactor] = [c.number("num_selected_experts"), c.number("capacity_factor")];
  const capacityMultipleOf = c.optionalNumber("capacity_multiple_of") ?? 1;
  const batchPriority = c.flag("batch_priority");
  const noiseStd = c.number("noise_std");
  using router = new VMoeRouter(device, {
    hiddenSize,
    numExperts,
    topK,
    capacityFactor,
    capacityMultipleOf,
    batchPriority,
    groupSize,
    noiseStd,
  });
  router.load(new Map([["weight", transposed(c.values("param.router"), hiddenSize)]]));
  const numTokens = groups * groupSize;
  const { experts, slots, weights, reads } = await compareGate(c, device, {
    router,
    route: (x) => {
      const noise = noiseStd > 0 ? { noise: c.tensor(device, "noise", [numTokens, numExperts]) } : {};
      const routing = router.route(x, undefined, noise);
      const terms = [
        ["importance_loss", c.number("importance_loss_weight"), groupImportance(routing)] as const,
        ...(noiseStd > 0 ? [["load_loss", c.number("load_loss_weight"), groupLoad(routing)] as const] : []),
        ["gshard_loss", c.number("gshard_loss_weight"), groupBalance(routing, { form: "gshard" })] as const,
      ];
      const auxiliary = terms.map(([, weight, term]) => scale(term, weight)).reduce(add); // [G]
      const best = slice(reshape(routing.weights, [numTokens, topK]), 1, 0, 1);
      return {
        routing,
        auxLoss: mean(auxiliary),
        outputs: {
          ...Object.fromEntries(terms.map(([name, , term]) => [name, term])),
          auxiliary_loss: auxiliary,
          logits: routing.logits,
          probs: routing.probs,
        },
        reads: { order: argsortDescending(reshape(best, [numTokens])) },
      };
    },
  });
  c.compare("expert_index", experts, EXACT);
  c.compare("combine_weights", weights, OUTPUT);
  const counting = { factor: capacityFactor, topK, multipleOf: capacityMultipleOf };
  c.compare("capacity", [visionCapacity(groupSize, numExperts, counting)], EXACT);
  const kept = slots.map((slot) => (slot === -1 ? 0 : 1));
  c.compare("kept", kept, EXACT);
  const served = batchPriority ? Array.from(reads.order ?? []) : [...Array(numTokens).keys()];
  const order = Array.from({ length: groups }, (_, g) => served.filter((n) => Math.floor(n / groupSize) === g));
  const priorities = order.flatMap((tokens, g) => tokens.map((n) => n - g * groupSize));
  c.compare("priority_order", priorities, EXACT);
  const places = new Int32Array(experts.length);
  for (const tokens of order) {
    const queue = Array.from({ length: topK }, (_, k) => tokens.map((n) => n * topK + k)).flat();
    for (const [a, place] of queuePlaces(experts, queue).entries()) if (place >= 0) places[a] = place;
  }
  c.compare("buffer_index", places, EXACT);
}
