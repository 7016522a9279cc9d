import type { Device } from "@moebius/runtime/device";
import { balanceLoss, type MomentumState } from "@moebius/runtime/moe";
import { add, mean, negate, reshape, scale, Tape, takeAlong } from "@moebius/runtime/ops";
import { scope, type Tensor, tensor } from "@moebius/runtime/tensor";
import type { Golden } from "../golden.ts";
import type { ParitySystem } from "../system.ts";
import { MomentumBlock, momentumOptions } from "./momentum-layers.ts";
import { MomentumModel, parseArchitecture } from "./momentum-model.ts";

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

/** The reference's experts are 16, fixed in its code. */
const NUM_EXPERTS = 16;

export const momentumModel: ParitySystem = {
  name: "momentum-smoe",
  recognises: ({ config, name }) => config.model_type === "momentum_smoe" || name.startsWith("momentum-smoe"),
  async run(golden, device) {
    const layers = parseArchitecture(golden.config.architecture);
    const sizes = {
      vocabSize: golden.number("vocab_size"),
      hiddenSize: golden.number("hidden_size"),
      intermediateSize: golden.number("inner_hidden_size"),
      numHeads: golden.number("nb_heads"),
      span: golden.number("attn_span"),
      topK: golden.number("moe_top_k"),
      numExperts: NUM_EXPERTS,
    };
    const optionsOf = (kind: string) =>
      kind === "g" ? undefined : momentumOptions(golden, kind === "a" ? "adam" : "momentum");
    using model = new MomentumModel(device, { ...sizes, layers, optionsOf });
    model.load(await golden.readWeights());
    const isAdam = layers.includes("a");
    const tolerance = {
      activation: { absolute: isAdam ? 5e-4 : 1e-4 },
      loss: { absolute: isAdam ? 1e-4 : 1e-5 },
      gradient: { ofLargest: isAdam ? 1e-3 : 3e-4 },
    };
    const { values, loss, gradients } = scope(() => runModel(golden, device, model));
    for (const [name, read] of values) {
      const found = await read;
      golden.compare(name, found, name.endsWith("index") ? EXACT : tolerance.activation);
    }
    golden.compare("loss", await loss, tolerance.loss);
    for (const [name, read] of gradients) {
      const found = await read;
      if (found) golden.compare(`grad.${name}`, found, tolerance.gradient);
    }
  },
};

function runModel(golden: Golden, device: Device, model: MomentumModel) {
  const shape = golden.shape("input_ids");
  const ids = (name: string) => tensor(device, Uint32Array.from(golden.values(name)), shape);
  const caches = model.layers.map((_, i) =>
    tensor(device, golden.values(`cache_in.${i}`), golden.shape(`cache_in.${i}`)),
  );
  const [input, labels] = [ids("input_ids"), ids("labels")];
  const tape = new Tape([...model.parameters().values()]);
  const { named, loss } = tape.run(() => {
    const { embedded, layers, logProbs } = model.forward(input, caches);
    const named = new Map<string, Tensor>([
      ["hidden.embed", embedded],
      ["log_probs", logProbs],
    ]);
    const balances: F32[] = [];
    for (const [i, { attention, block, state, routing, hidden, cache }] of layers.entries()) {
      const put = (name: string, x: Tensor | undefined) => x && named.set(name, x);
      put(`attn.${i}.out`, attention);
      put(`smoe.${i}.out`, block);
      put(`hidden.${i}`, hidden);
      put(`cache_out.${i}`, cache);
      put(`state.${i}.moment`, state?.momentum);
      put(`state.${i}.p`, state?.first);
      put(`state.${i}.v`, state?.second);
      if (!routing) continue;
      put(`router.${i}.logits`, routing.logits);
      put(`router.${i}.topk_index`, routing.plan.assignmentExpert);
      put(`router.${i}.topk_weight`, routing.weights);
      // The reference divides both shares by k, ours sum to k.
      const balance = scale(balanceLoss([routing]), (routing.plan.numTokens / routing.plan.maxAssignments) ** 2);
      put(`router.${i}.balance`, balance);
      balances.push(balance);
    }
    if (balances.length > 0) named.set("balance_loss", balances.reduce(add));
    const picked = takeAlong(logProbs, reshape(labels, [...shape, 1]));
    return { named, loss: negate(mean(picked)) };
  });
  const found = tape.backward(loss);
  return {
    values: [...named].map(([name, x]) => [name, x.read()] as const),
    loss: loss.read(),
    gradients: [...model.parameters()].map(([name, parameter]) => [name, found.get(parameter)?.read()] as const),
  };
}
