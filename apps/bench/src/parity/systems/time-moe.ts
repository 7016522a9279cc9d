import type { Device } from "@moebius/runtime/device";
import { Tape } from "@moebius/runtime/ops";
import { scope, tensor } from "@moebius/runtime/tensor";
import {
  generate,
  headLoss,
  loadWeights,
  normalisationOf,
  normalise,
  parseConfig,
  planHeads,
  publishedTensors,
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
    using model = new TimeMoe(device, parseConfig(golden.config, `${golden.folder}/config.json`));
    await loadWeights(model, await golden.openWeights());
    compareNormalisation(golden);
    await compareForward(golden, device, model);
    await compareLosses(golden, device, model);
    await compareMasked(golden, device, model);
    await compareForecast(golden, device, model);
  },
};

function compareNormalisation(golden: Golden): void {
  if (!golden.has("raw_series")) return;
  const [batch = 0, length = 0] = golden.shape("raw_series");
  const raw = golden.floats("raw_series");
  const rows = Array.from({ length: batch }, (_, b) => raw.subarray(b * length, (b + 1) * length));
  const normalised = rows.map((row) => normalise(row, normalisationOf(row.subarray(0, length - 1), 1)));
  golden.compare(
    "input_ids",
    normalised.flatMap((row) => [...row.subarray(0, length - 1)]),
    OUTPUT,
  );
  golden.compare(
    "labels",
    normalised.flatMap((row) => [...row.subarray(1)]),
    OUTPUT,
  );
}

async function compareForward(golden: Golden, device: Device, model: TimeMoe): Promise<void> {
  const reads = scope(() => {
    const { hiddenStates, last, routings } = model.forward(
      tensor(device, golden.floats("input_ids"), golden.shape("input_ids")),
    );
    const named = hiddenStates.map(
      (hidden, i) =>
        [
          i === 0 ? "hidden.embed" : i === hiddenStates.length - 1 ? "hidden.final_norm" : `hidden.layer${i - 1}`,
          hidden.read(),
        ] as const,
    );
    const predictions = model.horizons.map(
      (horizon, head) => [`predictions.h${horizon}`, model.predict(last, head).read()] as const,
    );
    const routed = routings.flatMap(({ logits, weights }, layer) => [
      [`router.layer${layer}.logits`, logits.read()] as const,
      [`router.layer${layer}.weights`, weights.read()] as const,
    ]);
    const indices = routings.map(
      ({ plan }, layer) => [`router.layer${layer}.indices`, plan.assignmentExpert.read()] as const,
    );
    return { outputs: [...named, ...predictions, ...routed], indices };
  });
  for (const [name, values] of reads.outputs) golden.compare(name, await values, OUTPUT);
  for (const [name, values] of reads.indices) golden.compare(name, await values, EXACT);
}

async function compareLosses(golden: Golden, device: Device, model: TimeMoe): Promise<void> {
  const parameters = model.parameters();
  const tape = new Tape(parameters.values());
  const { reads, gradients } = scope(() => {
    const input = (name: string) => tensor(device, golden.floats(name), golden.shape(name));
    const [values, labels] = [input("input_ids"), input("labels")];
    const parts = tape.run(() =>
      model.loss({ values, labels, ...(golden.has("loss_masks") ? { lossMask: input("loss_masks") } : {}) }),
    );
    const heads = model.horizons.flatMap((horizon, head) => [
      [`loss.ar.h${horizon}`, parts.heads[head]?.read()] as const,
      [
        `loss.ar_nomask.h${horizon}`,
        headLoss(model.predict(parts.last, head), labels, undefined, horizon).read(),
      ] as const,
    ]);
    const reads = [...heads, ["loss.aux", parts.balance?.read()] as const, ["loss.total", parts.loss.read()] as const];
    const found = tape.backward(parts.loss);
    const gradients = new Map([...parameters].map(([name, parameter]) => [name, found.get(parameter)?.read()]));
    for (const gradient of found.values()) gradient.dispose();
    return { reads, gradients };
  });
  for (const [name, value] of reads) if (value) golden.compare(name, await value, LOSS);
  // The same names and stacking as the weights have.
  const read = async (name: string) => (await gradients.get(name)) ?? new Float32Array(parameters.get(name)?.size ?? 0);
  for await (const { name, data } of publishedTensors(model, read)) golden.compare(`grad.${name}`, data, GRADIENT);
}

/** Left padding: only positions that are real are compared. */
async function compareMasked(golden: Golden, device: Device, model: TimeMoe): Promise<void> {
  if (!golden.has("attention_mask")) return;
  const mask = Float32Array.from(golden.integers("attention_mask"));
  const head = model.horizons.length - 1;
  const horizon = model.horizons[head] ?? 1;
  const { predictions, balance } = scope(() => {
    const input = (name: string) => tensor(device, golden.floats(name), golden.shape(name));
    const attentionMask = tensor(device, mask, golden.shape("attention_mask"));
    const { balance, last } = model.loss({ values: input("input_ids"), labels: input("labels"), attentionMask });
    return { predictions: model.predict(last, head).read(), balance: balance?.read() };
  });
  golden.compare("predictions_masked", await predictions, OUTPUT, (i) => mask[Math.floor(i / horizon)] === 1);
  if (balance) golden.compare("aux_masked", await balance, LOSS);
}

async function compareForecast(golden: Golden, device: Device, model: TimeMoe): Promise<void> {
  if (!golden.has("forecast.context_raw")) return;
  const [batch = 0, length = 0] = golden.shape("forecast.context_raw");
  const horizon = golden.shape("forecast.output").at(-1) ?? 0;
  const raw = golden.floats("forecast.context_raw");
  const rows = Array.from({ length: batch }, (_, b) => raw.subarray(b * length, (b + 1) * length));
  const scales = rows.map((row) => normalisationOf(row, 1));
  golden.compare(
    "forecast.mean",
    scales.map(({ mean }) => mean),
    OUTPUT,
  );
  golden.compare(
    "forecast.std",
    scales.map(({ standardDeviation }) => standardDeviation),
    OUTPUT,
  );
  const steps = planHeads(model.horizons, horizon).map((head) => model.horizons[head] ?? 0);
  golden.compare("forecast.step_heads", steps, EXACT);
  const context = Float32Array.from(
    rows.flatMap((row, b) => [...normalise(row, scales[b] ?? { mean: 0, standardDeviation: 1 })]),
  );
  using values = tensor(device, context, [batch, length]);
  using predicted = generate(model, values, { horizon });
  const normed = await predicted.read();
  golden.compare("forecast.normed", normed, OUTPUT);
  const output = await model.forecastMany(rows, { horizon, context: length });
  golden.compare(
    "forecast.output",
    output.flatMap(({ mean }) => [...mean]),
    { ofLargest: 2e-4 },
  );
}
