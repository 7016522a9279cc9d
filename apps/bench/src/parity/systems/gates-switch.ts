import type { Device } from "@moebius/runtime/device";
import { balanceLoss, SwitchRouter, zLoss } from "@moebius/runtime/moe";
import { add, scale } from "@moebius/runtime/ops";
import { capacityGate, compareRoom } from "../capacity-gate.ts";
import { compareGate, EXACT, type GateCase, gateCases, OUTPUT, queuePlaces, transposed } from "../gate-case.ts";
import type { ParitySystem } from "../system.ts";

/** Which noise each mode stores, and what the router calls it. */
const NOISE = {
  plain: {},
  rts: { priorities: "uniform" },
  jitter: { jitter: "jitter" },
  rsample: { gumbel: "gumbel" },
};

export const gatesSwitch: ParitySystem = {
  name: "gates-switch",
  recognises: ({ config, name }) => config.gate === "Switch top-1" || name.startsWith("gates-switch"),
  async run(golden, device) {
    for (const c of gateCases(golden)) await compareCase(c, device);
  },
};

async function compareCase(c: GateCase, device: Device): Promise<void> {
  const { options } = capacityGate(c);
  const mode = c.oneOf("mode", ["plain", "rts", "jitter", "rsample"]);
  using router = new SwitchRouter(device, options);
  router.load(new Map([["weight", transposed(c.values("param.router"), options.hiddenSize)]]));
  const outcome = await compareGate(c, device, {
    router,
    route: (x) => {
      const noise = Object.entries(NOISE[mode]).map(([ours, stored]) => [ours, c.tensor(device, stored)]);
      const routing = router.route(x, undefined, Object.fromEntries(noise));
      const balance = balanceLoss([routing], { form: "switch" });
      const z = zLoss([routing]);
      return {
        routing,
        auxLoss: add(scale(balance, c.number("aux_coef")), scale(z, c.number("z_coef"))),
        outputs: { logits: routing.logits, probs: routing.probs, l_aux: balance, z_loss: z },
      };
    },
  });
  const { experts, slots, weights } = outcome;
  c.compare("chosen_index", experts, EXACT);
  const kept = compareRoom(c, outcome, 1);
  const gates = weights.map((weight, a) => (slots[a] === -1 ? 0 : weight));
  c.compare("gate", gates, OUTPUT);
  const locations = queuePlaces(kept, [...kept.keys()]).map((place) => Math.max(0, place));
  c.compare("location", locations, EXACT);
}
