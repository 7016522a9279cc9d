import { generateGreedy, loadDecoder, type MoeDecoder } from "@moebius/llm";
import type { Device } from "@moebius/runtime/device";
import { publishedTensors } from "@moebius/runtime/io";
import {
  balanceLoss,
  entropyLoss,
  GroupLimitedRouter,
  heterogeneousBalanceLoss,
  MoeLayer,
  type RecurrentState,
  type Routing,
} from "@moebius/runtime/moe";
import { add, Tape } from "@moebius/runtime/ops";
import { scope, type Tensor, tensor } from "@moebius/runtime/tensor";
import type { Golden } from "../golden.ts";
import type { ParitySystem } from "../system.ts";

// As the goldens' READMEs state them.
const OUTPUT = { absolute: 1e-4 };
const LOSS = { absolute: 1e-5 };
const EXACT = { absolute: 0 };
const GATES = { absolute: 2e-5 };
/** Of Monet's routers. */
const PRODUCT = ["g1", "g2", "norm1", "norm2"] as const;

interface Family {
  name: string;
  modelTypes: readonly string[];
  /** Of the largest entry of a gradient. */
  gradient: number;
}

const FAMILIES: readonly Family[] = [
  { name: "deepseek-v3", modelTypes: ["deepseek_v3"], gradient: 2e-4 },
  { name: "deepseek-v2", modelTypes: ["deepseek_v2"], gradient: 2e-4 },
  { name: "deepseek-moe", modelTypes: ["deepseek"], gradient: 2e-4 },
  { name: "mixtral", modelTypes: ["mixtral"], gradient: 2e-4 },
  { name: "olmoe", modelTypes: ["olmoe"], gradient: 2e-4 },
  { name: "qwen2-moe", modelTypes: ["qwen2_moe"], gradient: 2e-4 },
  { name: "qwen3-moe", modelTypes: ["qwen3_moe"], gradient: 2e-4 },
  { name: "dynamic-moe", modelTypes: [], gradient: 3e-4 },
  { name: "moe-plus-plus", modelTypes: ["MoE++"], gradient: 5e-4 },
  { name: "monet", modelTypes: ["monet"], gradient: 3e-4 },
  { name: "rmoe", modelTypes: ["llama_moe_rnn"], gradient: 3e-4 },
];

/** Whole language models, one system a family. */
export const decoders: readonly ParitySystem[] = FAMILIES.map(({ name, modelTypes, gradient }) => ({
  name,
  recognises: (golden) =>
    modelTypes.includes(String(golden.config.model_type)) ||
    golden.name.startsWith(name) ||
    (name === "dynamic-moe" && "top_p_threshold" in golden.config),
  async run(golden, device) {
    using model = await loadDecoder(golden.folder, { device });
    await compareForward(golden, device, model, { ofLargest: gradient });
    await compareGreedy(golden, model);
  },
}));

const tokens = (golden: Golden, device: Device, name: string): Tensor<"u32"> =>
  tensor(
    device,
    Uint32Array.from(golden.values(name), (id) => id >>> 0),
    golden.shape(name),
  );

async function compareForward(golden: Golden, device: Device, model: MoeDecoder, tolerance: { ofLargest: number }) {
  const { outputs, losses, choices, gradients } = scope(() => {
    const ids = tokens(golden, device, "input_ids");
    const labels = tokens(golden, device, "labels");
    const attentionMask = golden.has("attention_mask")
      ? tensor(device, golden.values("attention_mask"), golden.shape("attention_mask"))
      : undefined;
    const tape = new Tape(model.trainableParameters().values());
    const made = tape.run(() => model.loss(ids, labels, { attentionMask }));
    const { output } = made;
    // Where the reference has no loss for its routers, gradients are those of the cross-entropy alone.
    const hasAux = golden.has("aux_loss");
    const found = tape.backward(hasAux ? made.loss : made.crossEntropy);
    const routed = output.layers.flatMap(({ routing }, i) => (routing ? [[i, routing] as const] : []));
    const named: (readonly [string, Tensor | undefined])[] = [
      ["hidden.embed", output.embedded],
      ["hidden.norm", output.last],
      ["logits", model.logits(output.last)],
      ...output.layers.flatMap(({ hidden, attention, y, routed = y }, i) => [
        [`hidden.${i}`, hidden] as const,
        [`attn.${i}.out`, attention] as const,
        [`moe.${i}.out`, routed] as const,
      ]),
      ...output.layers.flatMap(({ product }, i) =>
        product ? PRODUCT.map((name) => [`router.${i}.${name}`, product[name]] as const) : [],
      ),
      ...routed.flatMap(([i, { logits, state }]) => [
        [`router.${i}.logits`, logits] as const,
        [`router.${i}.state`, (state as RecurrentState | undefined)?.hidden] as const,
      ]),
    ];
    return {
      outputs: named.flatMap(([name, x]) => (x && golden.has(name) ? [[name, x.read()] as const] : [])),
      losses: lossesOf(golden, model, made, routed).map(([name, x]) => [name, x.read()] as const),
      choices: routed.map(([i, routing]) => readChoices(model, i, routing)),
      gradients: new Map([...model.parameters().values()].map((p) => [p, found.get(p)?.read()] as const)),
    };
  });
  for (const [name, read] of outputs)
    golden.compare(name, await read, PRODUCT.some((gate) => name.endsWith(gate)) ? GATES : OUTPUT);
  for (const [name, read] of losses) golden.compare(name, await read, LOSS);
  for (const choice of choices) await compareChoices(golden, choice);
  const gradientOf = async (_: string, parameter: Parameters<typeof gradients.get>[0]) =>
    (await gradients.get(parameter)) ?? new Float32Array(parameter.size);
  for await (const { name, data } of publishedTensors(model, model.options.layout, gradientOf))
    golden.compare(`grad.${name}`, data, tolerance);
}

type Made = ReturnType<MoeDecoder["loss"]>;

/** Scalars, by the names under which a golden may hold them. */
function lossesOf(golden: Golden, model: MoeDecoder, made: Made, routed: readonly (readonly [number, Routing])[]) {
  const { loss, crossEntropy, aux, output } = made;
  const hasAux = golden.has("aux_loss");
  const numSequences = output.embedded.axis(0);
  const scalars: (readonly [string, () => Tensor<"f32"> | undefined])[] = [
    ["loss", () => (hasAux ? loss : crossEntropy)],
    ["ce_loss", () => crossEntropy],
    // RMoE's is stored without its coefficient, DeepSeek's with it.
    ["aux_loss", () => (golden.config.model_type === "deepseek" ? aux : balanceLoss(output.routings))],
    ["paper.balance", () => output.routings.map((routing) => balanceLoss([routing])).reduce(add)],
    ["paper.dynamic", () => entropyLoss(output.routings)],
    ...routed.flatMap(([i, routing]) => [
      [`router.${i}.aux_loss`, () => model.options.auxLoss?.([routing], { numSequences })] as const,
      [
        `router.${i}.paper_balance`,
        () => heterogeneousBalanceLoss(routing, { numTrueExperts: routing.plan.numGroups }),
      ] as const,
    ]),
  ];
  return scalars.flatMap(([name, make]) => {
    const x = golden.has(name) ? make() : undefined;
    return x ? [[name, x] as const] : [];
  });
}

function readChoices(model: MoeDecoder, layer: number, { plan, weights, logits }: Routing) {
  const { feedForward } = model.layers[layer] as MoeDecoder["layers"][number];
  const router = feedForward instanceof MoeLayer ? feedForward.router : undefined;
  const bias = router instanceof GroupLimitedRouter ? router.correctionBias?.read() : undefined;
  const perToken = plan.maxAssignments / plan.numTokens;
  return {
    layer,
    perToken,
    bias,
    experts: plan.assignmentExpert.read(),
    weights: weights.read(),
    logits: logits.read(),
  };
}

async function compareChoices(golden: Golden, choices: ReturnType<typeof readChoices>): Promise<void> {
  const { layer, perToken } = choices;
  const [experts, weights] = [Int32Array.from(await choices.experts), await choices.weights];
  const bias = await choices.bias;
  const places = Array.from(experts.keys());
  // With a correction bias the order of the choice is not that of the weights, by which the reference sorts.
  if (bias)
    places.sort(
      (a, b) =>
        Math.floor(a / perToken) - Math.floor(b / perToken) || (weights[b] as number) - (weights[a] as number) || a - b,
    );
  const sortedExperts = places.map((place) => experts[place] as number);
  const sortedWeights = places.map((place) => weights[place] as number);
  for (const name of ["topk_index", "sorted_index"]) golden.compare(`router.${layer}.${name}`, sortedExperts, EXACT);
  for (const name of ["topk_weight", "sorted_weight"]) golden.compare(`router.${layer}.${name}`, sortedWeights, OUTPUT);
  const counts = Array.from(
    { length: experts.length / perToken },
    (_, n) => experts.subarray(n * perToken, (n + 1) * perToken).filter((expert) => expert >= 0).length,
  );
  golden.compare(`router.${layer}.count`, counts, EXACT);
  if (bias && golden.has(`router.${layer}.group_score`))
    golden.compare(
      `router.${layer}.group_score`,
      groupScores(await choices.logits, bias, golden.number("n_group")),
      OUTPUT,
    );
}

/** The sum of a group's two best biased scores, which the router keeps to itself. */
function groupScores(logits: Float32Array, bias: Float32Array, numGroups: number): number[] {
  const scores = Array.from(logits, (l, i) => 1 / (1 + Math.exp(-l)) + (bias[i % bias.length] as number));
  const size = bias.length / numGroups;
  return Array.from({ length: scores.length / size }, (_, group) => {
    const [first = 0, second = 0] = scores.slice(group * size, (group + 1) * size).sort((a, b) => b - a);
    return first + second;
  });
}

async function compareGreedy(golden: Golden, model: MoeDecoder): Promise<void> {
  if (!golden.has("greedy.ids")) return;
  const [batch = 1, length = 0] = golden.shape("greedy.prompt");
  const [, maxTokens = 0] = golden.shape("greedy.ids");
  const prompt = [...golden.values("greedy.prompt")];
  const prompts = Array.from({ length: batch }, (_, b) => prompt.slice(b * length, (b + 1) * length));
  const steps: number[][] = [];
  for await (const ids of generateGreedy(model, prompts, { maxTokens })) steps.push(ids);
  golden.compare(
    "greedy.ids",
    prompts.flatMap((_, b) => steps.map((ids) => ids[b] as number)),
    EXACT,
  );
}
