import type { Device } from "@moebius/runtime/device";
import { numActiveExperts, RandomFixedRouter } from "@moebius/runtime/moe";
import { scope } from "@moebius/runtime/tensor";
import { compareGate, EXACT, type GateCase, gateCases, OUTPUT, transposed } from "../gate-case.ts";
import type { ParitySystem } from "../system.ts";

/** What the golden calls the schedules. */
const SCHEDULES = {
  linear_increase: "linear-increase",
  linear_decrease: "linear-decrease",
  cosine_increase: "cosine-increase",
  cosine_decrease: "cosine-decrease",
  exp_increase: "exponential-increase",
} as const;

export const gatesSmoeDropout: ParitySystem = {
  name: "gates-smoe-dropout",
  recognises: ({ config, name }) =>
    config.gate === "SMoE-Dropout fixed random router" || name.startsWith("gates-smoe-dropout"),
  async run(golden, device) {
    for (const c of gateCases(golden)) {
      if (c.has("step")) compareSchedules(c);
      else await compareActive(c, device);
    }
  },
};

function compareSchedules(c: GateCase): void {
  const steps = [...c.values("step")];
  const range = { minimum: c.number("moe_top_k_min"), maximum: c.number("moe_top_k_max") };
  const totalSteps = c.number("dynamic_overall_steps");
  for (const [stored, schedule] of Object.entries(SCHEDULES))
    c.compare(
      stored,
      steps.map((step) => numActiveExperts({ schedule, step, totalSteps, ...range })),
      EXACT,
    );
}

async function compareActive(c: GateCase, device: Device): Promise<void> {
  const sizes = { hiddenSize: c.number("hidden"), numExperts: c.number("num_experts"), topK: 1 };
  using router = new RandomFixedRouter(device, sizes);
  router.load(
    new Map([
      ["weight", transposed(c.values("param.router"), sizes.hiddenSize)],
      ["bias", c.values("param.router_bias")],
    ]),
  );
  const { logits } = scope(() => ({ logits: router.route(c.tensor(device, "x")).logits.read() }));
  c.compare("logits", await logits, OUTPUT); // the same for every k
  for (const k of c.numbers("k_values")) {
    router.numActive = k;
    const { experts, weights } = await compareGate(c, device, {
      router,
      prefix: `k${k}.`,
      route: (x) => ({ routing: router.route(x) }),
    });
    c.compare(`k${k}.expert_index`, experts, EXACT);
    c.compare(`k${k}.score`, weights, OUTPUT);
  }
}
