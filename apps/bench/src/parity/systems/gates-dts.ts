import type { Device } from "@moebius/runtime/device";
import { annealedTemperature, DenseToSparseRouter, denseToSparseLoss } from "@moebius/runtime/moe";
import { add, scale, softmax } from "@moebius/runtime/ops";
import { compareGate, EXACT, type GateCase, gateCases, OUTPUT, transposed } from "../gate-case.ts";
import type { ParitySystem } from "../system.ts";

/** EvoMoE's dense-to-sparse gate. */
export const gatesDts: ParitySystem = {
  name: "gates-dts",
  recognises: ({ config, name }) => config.gate === "EvoMoE dense-to-sparse gate" || name.startsWith("gates-dts"),
  async run(golden, device) {
    for (const c of gateCases(golden)) {
      if (c.has("step")) compareSchedules(c);
      else await compareCase(c, device);
    }
  },
};

function compareSchedules(c: GateCase): void {
  const steps = [...c.values("step")];
  const range = { maximum: c.number("max_temperature"), minimum: c.number("min_temperature") };
  const decaySteps = c.number("gumbel_decay_factor");
  for (const [stored, schedule] of [["exp", "exponential"] as const, ["linear", "linear"] as const])
    c.compare(
      stored,
      steps.map((step) => annealedTemperature({ schedule, step, decaySteps, ...range })),
      OUTPUT,
    );
}

async function compareCase(c: GateCase, device: Device): Promise<void> {
  const sizes = { hiddenSize: c.number("hidden"), numExperts: c.number("num_experts") };
  const temperature = c.number("temperature");
  using router = new DenseToSparseRouter(device, {
    ...sizes,
    temperature,
    threshold: c.number("threshold"),
    useGumbelGates: c.flag("use_gumbel_gates"),
    hard: c.flag("hard"),
  });
  router.load(new Map([["weight", transposed(c.values("param.router"), sizes.hiddenSize)]]));
  const { experts, weights } = await compareGate(c, device, {
    router,
    route: (x) => {
      const gumbel = c.tensor(device, "gumbel");
      const routing = router.route(x, undefined, { gumbel });
      const auxLoss = denseToSparseLoss(routing);
      const noisy = softmax(scale(add(routing.logits, gumbel), 1 / temperature));
      return {
        routing,
        auxLoss: scale(auxLoss, c.number("aux_coef")),
        outputs: { logits: routing.logits, softmax: routing.probs, gumbel_softmax: noisy, l_aux: auxLoss },
      };
    },
  });
  const numTokens = c.shape("gates")[0] as number;
  const perToken = experts.length / numTokens;
  const gates = new Float32Array(numTokens * sizes.numExperts);
  const chosen = new Float32Array(gates.length);
  for (const [place, expert] of experts.entries()) {
    if (expert < 0) continue;
    const at = Math.floor(place / perToken) * sizes.numExperts + expert;
    gates[at] = weights[place] as number;
    chosen[at] = 1;
  }
  const total = chosen.reduce((a, b) => a + b, 0);
  c.compare("gates", gates, OUTPUT);
  c.compare("chosen", chosen, EXACT);
  c.compare("chosen_total", [total], EXACT);
  c.compare("batch_dynamic_top_k", [Math.max(1, Math.floor(total / numTokens))], EXACT);
  const evaluated = await compareGate(c, device, {
    router,
    prefix: "eval_",
    route: (x) => ({ routing: router.route(x) }),
  });
  c.compare("eval_index", evaluated.experts, EXACT);
}
