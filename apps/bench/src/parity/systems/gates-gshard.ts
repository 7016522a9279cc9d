import type { Device } from "@moebius/runtime/device";
import { balanceLoss, dispatchPadded, GShardRouter } from "@moebius/runtime/moe";
import { scale, topK } from "@moebius/runtime/ops";
import { capacityGate, compareRoom } from "../capacity-gate.ts";
import { compareGate, EXACT, type GateCase, gateCases, OUTPUT, queuePlaces, transposed } from "../gate-case.ts";
import type { ParitySystem } from "../system.ts";

export const gatesGShard: ParitySystem = {
  name: "gates-gshard",
  recognises: ({ config, name }) => config.gate === "GShard top-2" || name.startsWith("gates-gshard"),
  async run(golden, device) {
    for (const c of gateCases(golden)) await compareCase(c, device);
  },
};

async function compareCase(c: GateCase, device: Device): Promise<void> {
  const { numTokens, options } = capacityGate(c);
  const { hiddenSize, numExperts } = options;
  using router = new GShardRouter(device, { ...options, normalize: c.oneOf("normalise", ["before", "after"]) });
  router.load(new Map([["weight", transposed(c.values("param.router"), hiddenSize)]]));
  const width = c.has("dispatched") ? (c.shape("dispatched")[1] as number) : numTokens;
  const outcome = await compareGate(c, device, {
    router,
    route: (x) => {
      const routing = router.route(x, undefined, {
        ...(c.has("gumbel") ? { gumbel: c.tensor(device, "gumbel") } : {}),
        ...(c.has("uniform") ? { uniform: c.tensor(device, "uniform") } : {}),
      });
      const { logits, probs, plan } = routing;
      const balance = balanceLoss([routing], { form: "gshard" });
      return {
        routing,
        auxLoss: scale(balance, c.number("aux_coef")),
        outputs: { logits, probs, l_aux: balance, dispatched: dispatchPadded(x, plan, width) },
        reads: { likely: topK(probs, 2).indices },
      };
    },
  });
  const { experts, weights, reads } = outcome;
  // A second choice that the random policy leaves out is gone from the plan, but stands in chosen_index.
  const chosen = experts.map((expert, a) => (expert === -1 ? (reads.likely?.[a] as number) : expert));
  c.compare("chosen_index", chosen, EXACT);
  const kept = compareRoom(c, outcome, 2);
  c.compare("gate", weights, OUTPUT);
  const firstThenSecond = [0, 1].flatMap((k) => Array.from({ length: numTokens }, (_, n) => 2 * n + k));
  const places = queuePlaces(kept, firstThenSecond);
  const locations = places.map((place) => Math.max(0, place));
  c.compare("location", locations, EXACT);
  const combine = new Float32Array(numTokens * numExperts * width);
  for (const [a, expert] of kept.entries())
    if (expert >= 0) combine[(Math.floor(a / 2) * numExperts + expert) * width + (places[a] ?? 0)] = weights[a] ?? 0;
  c.compare("combine_weights", combine, OUTPUT);
}
