import { KvCache } from "@moebius/runtime/decode";
import type { Device } from "@moebius/runtime/device";
import { argmax, crossEntropy, reshape, slice, Tape } from "@moebius/runtime/ops";
import { scope, type Tensor, tensor } from "@moebius/runtime/tensor";
import type { Golden } from "../golden.ts";
import type { ParitySystem } from "../system.ts";
import { MonetModel, monetConfig } from "./monet-model.ts";

// As the goldens' READMEs state them.
const OUTPUT = { absolute: 1e-4 };
const ROUTER = { absolute: 2e-5 };
const LOSS = { absolute: 1e-5 };
const GRADIENT = { ofLargest: 3e-4 };
const EXACT = { absolute: 0 };

export const monet: ParitySystem = {
  name: "monet",
  recognises: ({ config, name }) => config.model_type === "monet" || name.startsWith("monet"),
  async run(golden, device) {
    using model = new MonetModel(device, monetConfig(golden.config, `${golden.folder}/config.json`));
    model.load(await golden.readWeights());
    await compareForward(golden, device, model);
    await compareGreedy(golden, device, model);
  },
};

const tokens = (golden: Golden, device: Device, name: string): Tensor<"u32"> =>
  tensor(
    device,
    Uint32Array.from(golden.values(name), (id) => id >>> 0),
    golden.shape(name),
  );

async function compareForward(golden: Golden, device: Device, model: MonetModel): Promise<void> {
  const parameters = [...model.trainableParameters()];
  const tape = new Tape(parameters.map(([, parameter]) => parameter));
  const { outputs, routed, loss, gradients } = scope(() => {
    const ids = tokens(golden, device, "input_ids");
    const labels = tokens(golden, device, "labels");
    const { output, loss } = tape.run(() => {
      const output = model.forward(ids);
      const [V, before] = [model.config.vocab_size, ids.axis(1) - 1];
      const predicted = reshape(slice(output.logits, 1, 0, before), [-1, V]);
      const next = reshape(slice(labels, 1, 1, before), [-1]);
      return { output, loss: crossEntropy(predicted, next) };
    });
    const found = tape.backward(loss);
    const { hiddenStates, attentions, feedForwards, routings, logits } = output;
    const named = [
      ["hidden.embed", hiddenStates[0]] as const,
      ["hidden.norm", hiddenStates.at(-1)] as const,
      ...hiddenStates.slice(1, -1).map((hidden, layer) => [`hidden.${layer}`, hidden] as const),
      ...attentions.map((attended, layer) => [`attn.${layer}.out`, attended] as const),
      ...feedForwards.map((mixed, layer) => [`moe.${layer}.out`, mixed] as const),
      ["logits", logits] as const,
    ];
    const gates = [...routings].flatMap(([layer, routing]) =>
      (["g1", "g2", "norm1", "norm2"] as const).map((name) => [`router.${layer}.${name}`, routing[name]] as const),
    );
    return {
      outputs: named.map(([name, values]) => [name, values?.read()] as const),
      routed: gates.map(([name, values]) => [name, values.read()] as const),
      loss: loss.read(),
      gradients: parameters.map(([name, parameter]) => [name, parameter.size, found.get(parameter)?.read()] as const),
    };
  });
  for (const [name, values] of outputs) golden.compare(name, (await values) ?? [], OUTPUT);
  for (const [name, values] of routed) golden.compare(name, await values, ROUTER);
  golden.compare("loss", await loss, LOSS);
  for (const [name, size, gradient] of gradients)
    golden.compare(`grad.${name}`, (await gradient) ?? new Float32Array(size), GRADIENT);
}

/** Decodes with a cache, a token at a time. */
async function compareGreedy(golden: Golden, device: Device, model: MonetModel): Promise<void> {
  if (!golden.has("greedy.ids")) return;
  const [, length = 0] = golden.shape("greedy.prompt");
  const [batch = 1, count = 0] = golden.shape("greedy.ids");
  const { num_hidden_layers, num_key_value_heads, num_attention_heads, hidden_size } = model.config;
  using cache = new KvCache(device, {
    numLayers: num_hidden_layers,
    batchSize: batch,
    capacity: length + count,
    numKeyValueHeads: num_key_value_heads,
    headDim: hidden_size / num_attention_heads,
  });
  const chosen: Uint32Array[] = [];
  let next: Uint32Array<ArrayBuffer> | undefined;
  for (let step = 0; step < count; step++) {
    const { best } = scope(() => {
      const ids = next ? tensor(device, next, [batch, 1]) : tokens(golden, device, "greedy.prompt");
      const { logits } = model.forward(ids, (layer) => cache.layer(layer));
      return { best: argmax(slice(logits, 1, ids.axis(1) - 1, 1)).read() };
    });
    next = await best;
    chosen.push(next);
  }
  const ids = Array.from({ length: batch * count }, (_, i) => chosen[i % count]?.[Math.floor(i / count)] ?? -1);
  golden.compare("greedy.ids", ids, EXACT);
}
