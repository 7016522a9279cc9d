import { UserError } from "@moebius/cli";
import type { Device } from "@moebius/runtime/device";
import { balanceLoss, MoeLayer, NullExpertsRouter, nullBalanceLoss, SwigluExperts } from "@moebius/runtime/moe";
import { Tape } from "@moebius/runtime/ops";
import { scope, tensor } from "@moebius/runtime/tensor";
import { bankOf, weightOf } from "../expert-weights.ts";
import type { Golden } from "../golden.ts";
import type { ParitySystem } from "../system.ts";

// As the golden's README states them.
const OUTPUT = { absolute: 1e-5 };
const GRADIENT = { ofLargest: 3e-4 };
/** A null expert's gradient is rounding around 0. */
const NULL_GRADIENT = { absolute: 1e-5 };
const EXACT = { absolute: 0 };

/** Mixtral's names for the three matrices of an expert, and ours of the bank. */
const BANK = { gate_proj: "w1", up_proj: "w3", down_proj: "w2" };

/** A Mixtral block with null experts. */
export const adaMoe: ParitySystem = {
  name: "adamoe",
  recognises: ({ config, name }) => config.model_type === "adamoe_block" || name.startsWith("adamoe"),
  async run(golden, device) {
    const { config, folder } = golden;
    if (config.hidden_act !== "silu")
      throw new UserError(`${folder}/config.json: "hidden_act" is ${config.hidden_act}, only "silu" is supported`);
    const sizes = { hiddenSize: golden.number("hidden_size"), numExperts: golden.number("num_local_experts") };
    using layer = new MoeLayer(device, {
      router: new NullExpertsRouter(device, {
        ...sizes,
        numNullExperts: golden.number("num_null_experts"),
        numChoices: golden.number("num_experts_per_tok"),
      }),
      experts: new SwigluExperts(device, { ...sizes, intermediateSize: golden.number("intermediate_size") }),
    });
    const weights = await golden.readWeights();
    layer.router.load(new Map([...layer.router.parameters().keys()].map((name) => [name, weightOf(weights, name)])));
    const bank = (matrix: string) => bankOf(weights, sizes.numExperts, (e) => `experts.${e}.${matrix}.weight`);
    layer.experts.load(new Map(Object.entries(BANK).map(([ours, theirs]) => [ours, bank(theirs)])));
    await compareLayer(golden, device, layer);
  },
};

async function compareLayer(golden: Golden, device: Device, layer: MoeLayer): Promise<void> {
  const { numExperts } = layer.router;
  const shape = golden.shape("x");
  const { outputs, choices, gradients } = scope(() => {
    const x = tensor(device, golden.values("x"), shape);
    const inputs = [...layer.router.parameters(), ...layer.experts.parameters()];
    const tape = new Tape([x, ...inputs.map(([, input]) => input)]);
    const { y, routing } = tape.run(() => layer.forward(x));
    const outputs = {
      out: y,
      "router.logits": routing.logits,
      "loss.released": balanceLoss([routing]),
      "loss.paper": nullBalanceLoss(routing, numExperts),
      "router.topk_weight": routing.weights,
    };
    const found = tape.backward(y, tensor(device, golden.values("grad_out"), shape));
    return {
      outputs: Object.entries(outputs).map(([name, output]) => [name, output.read()] as const),
      choices: routing.plan.assignmentExpert.read(),
      gradients: [["x", x] as const, ...inputs].map(([name, input]) => [name, found.get(input)?.read()] as const),
    };
  });
  const experts = await choices;
  const perToken = experts.length / golden.shape("router.true_count").reduce((a, b) => a * b, 1);
  for (const [name, read] of outputs) golden.compare(name, await read, OUTPUT);
  golden.compare("router.topk_index", experts, EXACT);
  const counts = new Array<number>(experts.length / perToken).fill(0);
  for (const [place, id] of experts.entries())
    if (id < numExperts) counts[Math.floor(place / perToken)] = (counts[Math.floor(place / perToken)] ?? 0) + 1;
  golden.compare("router.true_count", counts, EXACT);
  for (const [name, read] of gradients) {
    const values = await read;
    if (!values) continue;
    const matrix = BANK[name as keyof typeof BANK];
    if (!matrix) {
      golden.compare(`grad.${name}`, values, name === "gate2.weight" ? NULL_GRADIENT : GRADIENT);
      continue;
    }
    const size = values.length / numExperts;
    for (let e = 0; e < numExperts; e++)
      golden.compare(`grad.experts.${e}.${matrix}.weight`, values.subarray(e * size, (e + 1) * size), GRADIENT);
  }
}
