import { rm, writeFile } from "node:fs/promises";
import path from "node:path";
import type { Device } from "@moebius/runtime/device";
import { openCheckpoint, toFloat16, toFloat32, type WritableTensor, writeSafetensors } from "@moebius/runtime/io";
import { RandomKey } from "@moebius/runtime/tensor";
import { parseConfig, TimeMoe, type TimeMoeConfigInput } from "@moebius/timeseries";
import { balance, headLoss, Reference, type Route, type Trace, type Weights } from "./time-moe-reference.ts";

export interface GoldenCase {
  config: TimeMoeConfigInput;
  seed: number;
  /** Points a series has. */
  length: number;
  /** Points that each series is padded with on the left in the masked part. Without it there is no attention mask. */
  padding?: readonly number[];
  /** Store loss masks that leave out the last points of the first series. */
  lossMasks?: boolean;
  /** Published names whose gradients are stored. */
  gradients?: readonly string[];
  forecast?: { context: number; horizon: number };
  positionIds?: boolean;
  weights?: "float32" | "float16" | "sharded";
}

/** Writes a golden folder from random weights and the float64 reference. */
export async function writeGolden(folder: string, device: Device, golden: GoldenCase): Promise<void> {
  await writeWeights(folder, device, golden);
  await writeFile(path.join(folder, "config.json"), JSON.stringify({ model_type: "time_moe", ...golden.config }));
  const checkpoint = await openCheckpoint(folder);
  const weights = new Map<string, Float32Array>();
  for (const name of checkpoint.names()) weights.set(name, toFloat32(await checkpoint.read(name)));
  await checkpoint.close();
  await writeSafetensors(path.join(folder, "io.safetensors"), [...outputs(golden, weights)]);
}

async function writeWeights(folder: string, device: Device, { config, seed, weights }: GoldenCase): Promise<void> {
  using model = new TimeMoe(device, config);
  const values = new Map<string, Float32Array<ArrayBuffer>>();
  // Wide enough that the router's choices are clear and attention is not uniform.
  for (const [name, { size, shape }] of model.parameters()) {
    const isNorm = name.includes("norm");
    const spread = name.endsWith(".gate.weight") ? 1 : isNorm ? 0.2 : 1.2 / Math.sqrt(shape.at(-1) ?? 1);
    const random = new RandomKey(seed).split(name).normal(size);
    values.set(
      name,
      random.map((x) => (isNorm ? 1 : 0) + spread * x),
    );
  }
  model.load(values);
  await model.save(folder);
  const file = path.join(folder, "model.safetensors");
  if (weights === "float16") await rewrite(folder, [file], (tensor) => ({ ...tensor, ...narrow(tensor) }));
  if (weights === "sharded")
    await rewrite(folder, [path.join(folder, "a.safetensors"), path.join(folder, "b.safetensors")], (tensor) => tensor);
}

const narrow = ({ data }: WritableTensor) => ({
  dtype: "F16" as const,
  data: toFloat16(data as Float32Array<ArrayBuffer>),
});

async function rewrite(
  folder: string,
  files: readonly string[],
  change: (tensor: WritableTensor) => WritableTensor,
): Promise<void> {
  const checkpoint = await openCheckpoint(folder);
  const shards = files.map((): WritableTensor[] => []);
  const weightMap: Record<string, string> = {};
  for (const [i, name] of checkpoint.names().entries()) {
    const stored = await checkpoint.read(name);
    shards[i % files.length]?.push(change({ name, dtype: "F32", shape: stored.shape, data: toFloat32(stored) }));
    weightMap[name] = path.basename(files[i % files.length] ?? "");
  }
  await checkpoint.close();
  for (const [i, file] of files.entries()) await writeSafetensors(file, shards[i] ?? []);
  if (files.length === 1) return;
  await writeFile(path.join(folder, "model.safetensors.index.json"), JSON.stringify({ weight_map: weightMap }));
  await rm(path.join(folder, "model.safetensors"));
}

const BATCH = 2;

function* outputs(golden: GoldenCase, weights: Weights): Generator<WritableTensor> {
  const { seed, length, padding, lossMasks, gradients = [], forecast } = golden;
  const config = parseConfig(golden.config);
  const reference = new Reference(config, weights);
  const random = new RandomKey(seed).split("series").normal(BATCH * (length + 1));
  const raw = rows(random.map((x, i) => Math.fround(20 + 5 * Math.sin(i / 3) + x)));
  const normalised = raw.map((row) => normalise(row, row.slice(0, -1)));
  const inputs = normalised.map((row) => row.slice(0, -1).map(Math.fround));
  const labels = normalised.map((row) => row.slice(1).map(Math.fround));
  const masks = lossMasks ? labels.map((row, b) => row.map((_, t) => (b === 0 && t >= length - 3 ? 0 : 1))) : undefined;
  yield float("raw_series", [BATCH, length + 1], raw);
  yield float("input_ids", [BATCH, length], inputs);
  yield float("labels", [BATCH, length], labels);
  if (masks) yield float("loss_masks", [BATCH, length], masks);
  if (golden.positionIds) yield int("position_ids", [1, length], [...Array(length).keys()]);

  const traces = inputs.map((row) => reference.forward(row));
  yield* hiddenStates(traces, length, config.hidden_size);
  yield* routing(traces, length, config.num_experts, config.num_experts_per_tok);
  for (const [head, horizon] of config.horizon_lengths.entries()) {
    const predictions = traces.map((trace) => reference.predict(trace, head));
    yield float(`predictions.h${horizon}`, [BATCH, length, horizon], predictions);
    yield float(`loss.ar.h${horizon}`, [], [headLoss(predictions, labels, masks)]);
    yield float(`loss.ar_nomask.h${horizon}`, [], [headLoss(predictions, labels)]);
  }
  if (!config.use_dense) yield float("loss.aux", [], [balance(traces)]);
  const total = (weights: Weights) => {
    const changed = new Reference(config, weights);
    const own = inputs.map((row) => changed.forward(row));
    const heads = config.horizon_lengths.map((_, head) =>
      headLoss(
        own.map((trace) => changed.predict(trace, head)),
        labels,
        masks,
      ),
    );
    const mean = heads.reduce((a, b) => a + b) / heads.length;
    return config.use_dense ? mean : mean + config.router_aux_loss_factor * balance(own);
  };
  yield float("loss.total", [], [total(weights)]);
  for (const name of gradients)
    yield float(`grad.${name}`, [weights.get(name)?.length ?? 0], differences(total, weights, name));

  if (padding) {
    const real = inputs.map((row, b) => row.map((_, t) => (t < (padding[b] ?? 0) ? 0 : 1)));
    const own = inputs.map((row, b) => reference.forward(row, real[b]));
    const head = config.horizon_lengths.length - 1;
    yield int("attention_mask", [BATCH, length], real.flat());
    const predictions = own.map((trace) => reference.predict(trace, head));
    yield float("predictions_masked", [BATCH, length, config.horizon_lengths[head] ?? 1], predictions);
    if (!config.use_dense) yield float("aux_masked", [], [balance(own, real)]);
  }
  if (forecast) yield* forecasts(reference, raw, forecast);
}

function* hiddenStates(traces: readonly Trace[], length: number, width: number): Generator<WritableTensor> {
  const count = traces[0]?.hidden.length ?? 0;
  for (let i = 0; i < count; i++) {
    const name = i === 0 ? "hidden.embed" : i === count - 1 ? "hidden.final_norm" : `hidden.layer${i - 1}`;
    const values = traces.map(({ hidden }) => hidden[i] ?? []);
    yield float(name, [BATCH, length, width], values);
  }
}

function* routing(traces: readonly Trace[], length: number, experts: number, topK: number): Generator<WritableTensor> {
  for (let layer = 0; layer < (traces[0]?.routes.length ?? 0); layer++) {
    const routes = traces.flatMap(({ routes }) => routes[layer] as Route[]);
    const weights = routes.map(({ probs, chosen }) => chosen.map((expert) => probs[expert] as number));
    const logits = routes.map((route) => route.logits);
    yield float(`router.layer${layer}.logits`, [BATCH * length, experts], logits);
    yield float(`router.layer${layer}.weights`, [BATCH * length, topK], weights);
    const chosen = routes.flatMap((route) => route.chosen);
    yield int(`router.layer${layer}.indices`, [BATCH * length, topK], chosen);
  }
}

function* forecasts(
  reference: Reference,
  raw: readonly number[][],
  { context, horizon }: { context: number; horizon: number },
): Generator<WritableTensor> {
  const contexts = raw.map((row) => row.slice(0, context));
  const results = contexts.map((row) => reference.generate(normalise(row, row), horizon));
  const scales = contexts.map(scaleOf);
  const output = results.map(({ values }, b) =>
    values.map((x) => x * (scales[b]?.deviation ?? 1) + (scales[b]?.mean ?? 0)),
  );
  yield float("forecast.context_raw", [BATCH, context], contexts);
  const means = scales.map(({ mean }) => mean);
  yield float("forecast.mean", [BATCH, 1], means);
  const deviations = scales.map(({ deviation }) => deviation);
  yield float("forecast.std", [BATCH, 1], deviations);
  const normed = results.map(({ values }) => values);
  yield float("forecast.normed", [BATCH, horizon], normed);
  yield float("forecast.output", [BATCH, horizon], output);
  const steps = results[0]?.steps ?? [];
  yield int("forecast.step_heads", [steps.length], steps);
}

/** Central differences: the loss is smooth as long as no choice of the router flips. */
function differences(loss: (weights: Weights) => number, weights: Weights, name: string): number[] {
  const step = 1e-5;
  const at = (i: number, shift: number) => {
    const values = Float64Array.from(weights.get(name) ?? []);
    values[i] = (values[i] as number) + shift;
    return loss(new Map([...weights, [name, values]]));
  };
  return Array.from(weights.get(name) ?? [], (_, i) => (at(i, step) - at(i, -step)) / (2 * step));
}

function scaleOf(values: readonly number[]): { mean: number; deviation: number } {
  const mean = values.reduce((a, b) => a + b) / values.length;
  return { mean, deviation: Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (values.length - 1)) };
}

function normalise(values: readonly number[], by: readonly number[]): number[] {
  const { mean, deviation } = scaleOf(by);
  return values.map((x) => (x - mean) / deviation);
}

function rows(values: ArrayLike<number>): number[][] {
  const length = values.length / BATCH;
  return Array.from({ length: BATCH }, (_, b) => Array.from({ length }, (_, t) => values[b * length + t] as number));
}

type Nested = readonly (number | Nested)[];

const flatten = (values: Nested): number[] =>
  values.flatMap((item) => (typeof item === "number" ? item : flatten(item)));

function float(name: string, shape: readonly number[], values: Nested): WritableTensor {
  return { name, dtype: "F32", shape, data: Float32Array.from(flatten(values)) };
}

function int(name: string, shape: readonly number[], values: readonly number[]): WritableTensor {
  return { name, dtype: "I32", shape, data: Int32Array.from(values) };
}
