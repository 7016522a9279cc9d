import type { Device } from "@moebius/runtime/device";
import { expertPerTensor, loadPublished, publishedTensors } from "@moebius/runtime/io";
import { balanceLoss } from "@moebius/runtime/moe";
import { Tape } from "@moebius/runtime/ops";
import { scope, type Tensor, tensor } from "@moebius/runtime/tensor";
import {
  generate,
  headLoss,
  type Normalisation,
  normalisationOf,
  normalise,
  parseConfig,
  planHeads,
  TimeMoe,
} from "@moebius/timeseries";
import type { Golden } from "../golden.ts";
import type { ParitySystem } from "../system.ts";

// As the goldens' READMEs state them.
const OUTPUT = { absolute: 2e-4 };
const LOSS = { ofLargest: 1e-5 };
const GRADIENT = { ofLargest: 1e-3 };
const EXACT = { absolute: 0 };

export const timeMoe: ParitySystem = {
  name: "time-moe",
  recognises: ({ config, name }) => config.model_type === "time_moe" || name.startsWith("time-moe"),
  async run(golden, device) {
    const config = parseConfig(golden.config, `${golden.folder}/config.json`);
    const checkpoint = await golden.openWeights();
    using model = new TimeMoe(device, config);
    await loadPublished(model, checkpoint, expertPerTensor()).finally(() => checkpoint.close());
    comparePositions(golden);
    compareNormalisation(golden);
    await compareForward(golden, device, model);
    await compareLosses(golden, device, model);
    await compareMasked(golden, device, model);
    await compareForecast(golden, device, model);
  },
};

/** [B, S], also where a file has a last axis for the channels. */
function series(golden: Golden, device: Device, name: string): Tensor<"f32"> {
  const [batch = 0, length = 0] = golden.shape(name);
  return tensor(device, golden.values(name), [batch, length]);
}

function rowsOf(values: Float32Array<ArrayBuffer>, count: number): Float32Array<ArrayBuffer>[] {
  const length = values.length / count;
  return Array.from({ length: count }, (_, b) => values.subarray(b * length, (b + 1) * length));
}

/** Rotary attention sees differences of positions alone: any row that counts up by one gives the same. */
function comparePositions(golden: Golden): void {
  if (!golden.has("position_ids")) return;
  const length = golden.shape("position_ids").at(-1) ?? 1;
  const stored = golden.values("position_ids");
  const mask = golden.has("attention_mask") ? golden.values("attention_mask") : undefined;
  const counted = stored.map((_, i) => (stored[i - (i % length) + length - 1] ?? 0) - (length - 1 - (i % length)));
  const isReal = (i: number) => mask?.length !== stored.length || mask[i] === 1;
  golden.compare("position_ids", counted, EXACT, isReal);
}

function compareNormalisation(golden: Golden): void {
  if (!golden.has("raw_series")) return;
  const [batch = 0] = golden.shape("raw_series");
  const normalised = rowsOf(golden.values("raw_series"), batch).map((row) =>
    normalise(row, normalisationOf(row.subarray(0, -1), 1)),
  );
  const inputs = normalised.flatMap((row) => [...row.subarray(0, -1)]);
  golden.compare("input_ids", inputs, OUTPUT);
  const labels = normalised.flatMap((row) => [...row.subarray(1)]);
  golden.compare("labels", labels, OUTPUT);
}

async function compareForward(golden: Golden, device: Device, model: TimeMoe): Promise<void> {
  const { outputs, choices } = scope(() => {
    const { hiddenStates, last, routings } = model.forward(series(golden, device, "input_ids"));
    const layers = hiddenStates.slice(1, -1).map((hidden, layer) => [`hidden.layer${layer}`, hidden] as const);
    const predictions = model.horizons.map(
      (horizon, head) => [`predictions.h${horizon}`, model.predict(last, head)] as const,
    );
    const routed = routings.flatMap(({ logits, weights }, layer) => [
      [`router.layer${layer}.logits`, logits] as const,
      [`router.layer${layer}.weights`, weights] as const,
    ]);
    const named = [["hidden.embed", hiddenStates[0] ?? last] as const, ...layers, ["hidden.final_norm", last] as const];
    return {
      outputs: [...named, ...predictions, ...routed].map(([name, output]) => [name, output.read()] as const),
      choices: routings.map(({ plan }) => plan.assignmentExpert.read()),
    };
  });
  for (const [name, values] of outputs) golden.compare(name, await values, OUTPUT);
  for (const [layer, values] of choices.entries()) golden.compare(`router.layer${layer}.indices`, await values, EXACT);
}

async function compareLosses(golden: Golden, device: Device, model: TimeMoe): Promise<void> {
  if (!golden.has("labels")) return;
  const parameters = model.parameters();
  const tape = new Tape(parameters.values());
  const { losses, gradients } = scope(() => {
    const values = series(golden, device, "input_ids");
    const labels = series(golden, device, "labels");
    const lossMask = golden.has("loss_masks") ? series(golden, device, "loss_masks") : undefined;
    const parts = tape.run(() => model.loss({ values, labels, lossMask }));
    const unmasked = model.horizons.map((horizon, head) =>
      headLoss(model.predict(parts.last, head), labels, undefined, horizon),
    );
    const named = [
      ...model.horizons.map((horizon, head) => [`loss.ar.h${horizon}`, parts.heads[head]] as const),
      ...model.horizons.map((horizon, head) => [`loss.ar_nomask.h${horizon}`, unmasked[head]] as const),
      ["loss.aux", parts.balance] as const,
      ["loss.total", parts.loss] as const,
    ];
    const losses = named.map(([name, loss]) => [name, loss?.read()] as const);
    const found = tape.backward(parts.loss);
    const gradients = new Map([...parameters].map(([name, parameter]) => [name, found.get(parameter)?.read()]));
    for (const gradient of found.values()) gradient.dispose();
    return { losses, gradients };
  });
  for (const [name, loss] of losses) if (loss) golden.compare(name, await loss, LOSS);
  // The same names and stacking as the weights have; a parameter that nothing reached has gradient 0.
  const gradientOf = async (name: string, { size }: { size: number }) =>
    (await gradients.get(name)) ?? new Float32Array(size);
  for await (const { name, data } of publishedTensors(model, expertPerTensor(), gradientOf))
    golden.compare(`grad.${name}`, data, GRADIENT);
}

/** Left padding: only positions that are real are compared. */
async function compareMasked(golden: Golden, device: Device, model: TimeMoe): Promise<void> {
  if (!golden.has("attention_mask")) return;
  const mask = golden.values("attention_mask");
  const head = model.horizons.length - 1;
  const horizon = model.horizons[head] ?? 1;
  const { predictions, balance } = scope(() => {
    const attentionMask = series(golden, device, "attention_mask");
    const { last, routings } = model.forward(series(golden, device, "input_ids"), { attentionMask });
    return {
      predictions: model.predict(last, head).read(),
      balance: routings.length > 0 ? balanceLoss(routings, { mask: attentionMask }).read() : undefined,
    };
  });
  golden.compare("predictions_masked", await predictions, OUTPUT, (i) => mask[Math.floor(i / horizon)] === 1);
  if (balance) golden.compare("aux_masked", await balance, LOSS);
}

async function compareForecast(golden: Golden, device: Device, model: TimeMoe): Promise<void> {
  const stored = ["forecast.output", "forecast.normed"].find((name) => golden.has(name));
  if (!stored || !golden.has("forecast.context_raw")) return;
  const horizon = golden.shape(stored)[1] ?? 0;
  const [batch = 0, length = 0] = golden.shape("forecast.context_raw");
  const rows = rowsOf(golden.values("forecast.context_raw"), batch);
  const scales = rows.map((row) => normalisationOf(row, 1));
  const means = scales.map(({ mean }) => mean);
  golden.compare("forecast.mean", means, OUTPUT);
  const deviations = scales.map(({ standardDeviation }) => standardDeviation);
  golden.compare("forecast.std", deviations, OUTPUT);
  golden.compare("forecast.step_heads", stepLengths(model.horizons, horizon), EXACT);
  const context = rows.flatMap((row, b) => [...normalise(row, scales[b] as Normalisation)]);
  using values = tensor(device, Float32Array.from(context), [batch, length]);
  using predicted = generate(model, values, { horizon });
  golden.compare("forecast.normed", await predicted.read(), OUTPUT);
  const output = await model.forecastMany(rows, { horizon, context: length });
  const flat = output.flatMap(({ mean }) => [...mean]);
  golden.compare("forecast.output", flat, { ofLargest: 2e-4 });
}

/** How many points each step of a forecast appends; the last one may be cut. */
function stepLengths(horizons: readonly number[], horizon: number): number[] {
  let remaining = horizon;
  return planHeads(horizons, horizon).map((head) => {
    const length = Math.min(horizons[head] ?? 0, remaining);
    remaining -= length;
    return length;
  });
}
