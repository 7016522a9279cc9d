import { CheckpointError } from "@moebius/runtime/device";
import { type Checkpoint, toFloat32, type WritableTensor } from "@moebius/runtime/io";
import type { Parameter } from "@moebius/runtime/nn";
import { formatShape } from "@moebius/runtime/tensor";
import type { TimeMoeModel } from "./model.ts";

// Published checkpoints hold a tensor an expert, `….experts.3.gate_proj.weight` [F, D]; we keep the experts of a layer in one bank,
// `….experts.gate_proj` [E, F, D]. Everything else has the same name on both sides.

const BANK = /^(.*\.experts)\.(gate_proj|up_proj|down_proj)$/;

/** The published names behind one of our parameters, in the order in which they are stacked. */
function publishedNames(name: string, numExperts: number): string[] {
  const bank = BANK.exec(name);
  return bank ? Array.from({ length: numExperts }, (_, expert) => `${bank[1]}.${expert}.${bank[2]}.weight`) : [name];
}

/** A tensor an expert has the bank's shape without the first axis. */
function publishedShape(name: string, shape: readonly number[]): readonly number[] {
  return BANK.test(name) ? shape.slice(1) : shape;
}

/**
 * Fills a model with a checkpoint in the published layout (f32, f16 or bf16), one parameter in memory at a time.
 * @throws {CheckpointError} naming the first tensor that is missing, left over or of another shape; nothing is loaded then
 */
export async function loadWeights(model: TimeMoeModel, checkpoint: Checkpoint): Promise<void> {
  expectLayout(model, checkpoint);
  for (const [name, parameter] of model.parameters()) {
    const names = publishedNames(name, model.config.num_experts);
    const stacked = new Float32Array(parameter.size);
    for (const [i, published] of names.entries())
      stacked.set(toFloat32(await checkpoint.read(published)), (i * parameter.size) / names.length);
    parameter.write(stacked);
  }
}

function expectLayout(model: TimeMoeModel, checkpoint: Checkpoint): void {
  const left = new Set(checkpoint.names());
  for (const [name, parameter] of model.parameters()) {
    const expected = formatShape(publishedShape(name, parameter.shape));
    for (const published of publishedNames(name, model.config.num_experts)) {
      if (!left.delete(published))
        throw new CheckpointError(
          checkpoint.location,
          "is missing from the checkpoint, but config.json asks for it",
          published,
        );
      const found = formatShape(checkpoint.entry(published).shape);
      if (found !== expected)
        throw new CheckpointError(
          checkpoint.location,
          `has shape ${found}, config.json asks for ${expected}`,
          published,
        );
    }
  }
  const [extra] = left;
  if (extra !== undefined)
    throw new CheckpointError(
      checkpoint.location,
      `has no place in the model that config.json describes (${left.size} such tensors)`,
      extra,
    );
}

/**
 * The model's parameters as published tensors: name, shape and data, for saving and for comparison.
 * @param read the values of a parameter, or what belongs to it, such as its gradient
 */
export async function* publishedTensors(
  model: TimeMoeModel,
  read: (name: string, parameter: Parameter) => Promise<Float32Array<ArrayBuffer>>,
): AsyncGenerator<WritableTensor & { data: Float32Array<ArrayBuffer> }> {
  for (const [name, parameter] of model.parameters()) {
    const names = publishedNames(name, model.config.num_experts);
    const shape = publishedShape(name, parameter.shape);
    const data = await read(name, parameter);
    const each = data.length / names.length;
    for (const [i, published] of names.entries())
      yield { name: published, dtype: "F32", shape, data: data.slice(i * each, (i + 1) * each) };
  }
}
