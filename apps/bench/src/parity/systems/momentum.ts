import type { Device } from "@moebius/runtime/device";
import type { MomentumState } from "@moebius/runtime/moe";
import { Tape } from "@moebius/runtime/ops";
import { scope, type Tensor, tensor } from "@moebius/runtime/tensor";
import type { Golden } from "../golden.ts";
import type { ParitySystem } from "../system.ts";
import { MomentumBlock, momentumOptions } from "./momentum-layers.ts";

type F32 = Tensor<"f32">;

const EXACT = { absolute: 0 };

/** As the golden's README states them: Adam's first layer divides by what may be nearly 0. */
const TOLERANCES = {
  smoe: { output: { absolute: 1e-5 }, gradient: { ofLargest: 3e-4 } },
  mom: { output: { absolute: 1e-5 }, gradient: { ofLargest: 3e-4 } },
  adam: { output: { absolute: 5e-4 }, gradient: { ofLargest: 1e-3 } },
};

export const momentumLayers: ParitySystem = {
  name: "momentum-smoe-layers",
  recognises: ({ config, name }) =>
    config.model_type === "momentum_smoe_layers" || name.startsWith("momentum-smoe-layers"),
  async run(golden, device) {
    const sizes = {
      hiddenSize: golden.number("hidden_size"),
      intermediateSize: golden.number("inner_hidden_size"),
      numExperts: golden.number("moe_num_expert"),
      topK: golden.number("moe_top_k"),
    };
    const blocks = Array.from({ length: golden.number("nb_layers") }, () => new MomentumBlock(device, sizes));
    try {
      const weights = await golden.readWeights();
      for (const [index, block] of blocks.entries()) block.load(partOf(weights, `${index}.`));
      for (const variant of ["smoe", "mom", "adam"] as const) await compareVariant(golden, device, blocks, variant);
    } finally {
      for (const block of blocks) block[Symbol.dispose]();
    }
  },
};

/** Entries below a prefix, without it. */
function partOf<T>(all: ReadonlyMap<string, T>, prefix: string): Map<string, T> {
  return new Map(
    [...all].filter(([name]) => name.startsWith(prefix)).map(([name, v]) => [name.slice(prefix.length), v]),
  );
}

async function compareVariant(
  golden: Golden,
  device: Device,
  blocks: readonly MomentumBlock[],
  variant: keyof typeof TOLERANCES,
): Promise<void> {
  const { output, gradient } = TOLERANCES[variant];
  const options = variant === "smoe" ? undefined : momentumOptions(golden, variant === "mom" ? "momentum" : "adam");
  const preNorm = golden.config.pre_lnorm === true;
  const shape = golden.shape("x");
  const reads = scope(() => {
    const x = tensor(device, golden.values("x"), shape);
    const parameters = blocks.flatMap((block, i) =>
      [...block.parameters()].map(([name, p]) => [`${i}.${name}`, p] as const),
    );
    const inputs: (readonly [string, F32])[] = [["x", x], ...parameters];
    const tape = new Tape(inputs.map(([, input]) => input));
    const { last, found } = tape.run(() => {
      let hidden = x;
      let state: MomentumState | undefined;
      const found = new Map<string, Tensor>();
      for (const [i, block] of blocks.entries()) {
        const step = block.forward(hidden, preNorm, options, state);
        hidden = step.y;
        state = step.state;
        const name = `${variant}.${i}`;
        found.set(`${name}.out`, hidden);
        if (step.routing) {
          found.set(`${name}.topk_index`, step.routing.plan.assignmentExpert);
          found.set(`${name}.topk_weight`, step.routing.weights);
        }
        if (state) found.set(`${name}.moment`, state.momentum);
        if (state?.first) found.set(`${name}.p`, state.first);
        if (state?.second) found.set(`${name}.v`, state.second);
      }
      return { last: hidden, found };
    });
    const gradients = tape.backward(last, tensor(device, golden.values("grad_out"), shape));
    const values = [...found].map(([name, x]) => [name, x.read()] as const);
    const slopes = inputs.map(([name, input]) => [`${variant}.grad.${name}`, gradients.get(input)?.read()] as const);
    return { values, slopes };
  });
  for (const [name, read] of reads.values) golden.compare(name, await read, name.endsWith("index") ? EXACT : output);
  for (const [name, read] of reads.slopes) {
    const values = await read;
    if (values) golden.compare(name, values, gradient);
  }
}
