import { UserError } from "@moebius/cli";
import type { Device } from "@moebius/runtime/device";
import { type PreGatedRoute, PreGatedRouter, type Routing } from "@moebius/runtime/moe";
import { RmsNorm } from "@moebius/runtime/nn";
import { add, combineLinear, expandLinear, relu, Tape } from "@moebius/runtime/ops";
import { scope, type Tensor, tensor } from "@moebius/runtime/tensor";
import { bankOf, weightOf } from "../expert-weights.ts";
import type { Golden } from "../golden.ts";
import type { ParitySystem } from "../system.ts";

type F32 = Tensor<"f32">;

// As the golden's README states them.
const OUTPUT = { absolute: 1e-5 };
const GRADIENT = { ofLargest: 1e-5 };
const EXACT = { absolute: 0 };

/** One block: h + Σ p_e wo_e relu(wi_e u), u = norm(h). */
interface Block {
  norm: RmsNorm;
  router: PreGatedRouter;
  /** [E, F, H] */
  wi: F32;
  /** [E, H, F] */
  wo: F32;
}

export const preGated: ParitySystem = {
  name: "pre-gated-moe",
  recognises: ({ config, name }) => "pregate_level" in config || name.startsWith("pre-gated-moe"),
  async run(golden, device) {
    const { config, folder } = golden;
    if (golden.number("pregate_level") !== 1)
      throw new UserError(`${folder}/config.json: "pregate_level" is ${config.pregate_level}, only 1 is supported`);
    const weights = await golden.readWeights();
    const sizes = {
      hiddenSize: golden.number("d_model"),
      numExperts: golden.number("num_experts"),
      topK: golden.number("top_k"),
    };
    const blocks = Array.from({ length: golden.number("num_blocks") }, (_, index) =>
      loadBlock(device, weights, index, {
        ...sizes,
        intermediateSize: golden.number("d_ff"),
        epsilon: golden.number("rms_eps"),
      }),
    );
    try {
      await compareBlocks(golden, device, blocks);
    } finally {
      for (const block of blocks) for (const part of Object.values(block) as Disposable[]) part[Symbol.dispose]();
    }
  },
};

interface Sizes {
  hiddenSize: number;
  numExperts: number;
  topK: number;
  intermediateSize: number;
  epsilon: number;
}

function loadBlock(
  device: Device,
  weights: ReadonlyMap<string, Float32Array<ArrayBuffer>>,
  index: number,
  { epsilon, intermediateSize: F, ...sizes }: Sizes,
): Block {
  const of = (name: string) => weightOf(weights, `blocks.${index}.${name}`);
  const bank = (name: string, shape: number[]) => {
    const values = bankOf(weights, sizes.numExperts, (e) => `blocks.${index}.experts.${e}.${name}.weight`);
    return tensor(device, values, [sizes.numExperts, ...shape]);
  };
  const has = (name: string) => weights.has(`blocks.${index}.${name}.weight`);
  const router = new PreGatedRouter(device, { ...sizes, gate: has("gate"), preGate: has("pre_gate") });
  router.load(new Map([...router.parameters().keys()].map((name) => [name, of(name)])));
  const norm = new RmsNorm(device, sizes.hiddenSize, epsilon);
  norm.load(new Map([["weight", of("norm.weight")]]));
  return { norm, router, wi: bank("wi", [F, sizes.hiddenSize]), wo: bank("wo", [sizes.hiddenSize, F]) };
}

async function compareBlocks(golden: Golden, device: Device, blocks: readonly Block[]): Promise<void> {
  const shape = golden.shape("x");
  const { hidden, selected, weights, gradients } = scope(() => {
    const x = tensor(device, golden.values("x"), shape);
    const inputs = blocks.flatMap(({ norm, router, wi, wo }, index) =>
      [
        ["norm.weight", norm.weight] as const,
        ...router.parameters(),
        ["experts.0.wi.weight", wi] as const,
        ["experts.0.wo.weight", wo] as const,
      ].map(([name, input]) => [`blocks.${index}.${name}`, input] as const),
    );
    const tape = new Tape(inputs.map(([, input]) => input));
    const { states, routings } = tape.run(() => forward(blocks, x));
    const found = tape.backward(states.at(-1) as F32, tensor(device, golden.values("cotangent"), shape));
    return {
      hidden: states.map((state) => state.read()),
      selected: routings.map(({ plan }) => plan.assignmentExpert.read()),
      weights: routings.map((routing) => routing.weights.read()),
      gradients: inputs.map(([name, input]) => [name, found.get(input)?.read()] as const),
    };
  });
  golden.compare("hidden", await joined(hidden), OUTPUT);
  golden.compare("selected", await joined(selected), EXACT);
  golden.compare("weights", await joined(weights), OUTPUT);
  for (const [name, read] of gradients) {
    const values = await read;
    // Of a bank the golden holds the gradient of the first expert.
    const stored = golden.has(`grad.${name}`) ? golden.shape(`grad.${name}`).reduce((a, b) => a * b, 1) : 0;
    if (values && stored > 0) golden.compare(`grad.${name}`, values.subarray(0, stored), GRADIENT);
  }
}

function forward(blocks: readonly Block[], x: F32): { states: F32[]; routings: Routing<PreGatedRoute>[] } {
  const states = [x];
  const routings: Routing<PreGatedRoute>[] = [];
  for (const { norm, router, wi, wo } of blocks) {
    const h = states.at(-1) as F32;
    const u = norm.forward(h);
    const routing = router.route(u, routings.at(-1)?.state);
    const { plan } = routing;
    states.push(add(h, combineLinear(relu(expandLinear(u, wi, plan)), wo, routing.weights, plan)));
    routings.push(routing);
  }
  return { states, routings };
}

async function joined(reads: readonly Promise<ArrayLike<number>>[]): Promise<number[]> {
  return (await Promise.all(reads)).flatMap((values) => Array.from(values));
}
