import { CheckpointError } from "../device/errors.ts";
import type { Module, Parameter } from "../nn/module.ts";
import { formatShape, type Shape } from "../tensor/shape.ts";
import type { Checkpoint } from "./checkpoint-folder.ts";
import type { WritableTensor } from "./safetensors-write.ts";
import { toFloat32, toInt32 } from "./widen.ts";

/** Where a piece of a parameter stands in published checkpoints: a tensor, or a run of its rows. */
export interface PublishedPart {
  readonly name: string;
  /** Of the whole tensor. */
  readonly shape: Shape;
  /** First row and the one after the last. Default: all */
  readonly rows?: readonly [number, number];
  /** A counter, stored as an integer. Default false */
  readonly isInteger?: boolean;
}

/** The pieces of a parameter, in the order in which they are stacked. */
export type PublishedLayout = (name: string, shape: Shape) => readonly PublishedPart[];

/**
 * The layout of most checkpoints: a tensor an expert, `….experts.3.gate_proj.weight` [F, D], where we keep the experts of a layer in one
 * bank, `….experts.gate_proj` [E, F, D]. Everything else has the same name on both sides.
 * @param names what an expert's matrices are called, where not gate_proj, up_proj and down_proj
 */
export function expertPerTensor(names: Readonly<Record<string, string>> = {}): PublishedLayout {
  return (name, shape) => {
    const bank = /^(.*\.experts)\.(gate_proj|up_proj|down_proj)$/.exec(name);
    if (!bank) return [{ name, shape }];
    const [, prefix, matrix = ""] = bank;
    return Array.from({ length: shape[0] ?? 0 }, (_, expert) => ({
      name: `${prefix}.${expert}.${names[matrix] ?? matrix}.weight`,
      shape: shape.slice(1),
    }));
  };
}

const rowsOf = ({ shape, rows }: PublishedPart): readonly [number, number] => rows ?? [0, shape[0] ?? 1];

/** Values of a row of the tensor; a scalar is a row of one. */
const rowSize = ({ shape }: PublishedPart): number => shape.slice(1).reduce((size, length) => size * length, 1);

/**
 * Fills a model with a checkpoint in a published layout (f32, f16 or bf16), one parameter in memory at a time.
 * @param options.ignore tensors that are derived from the config, such as stored rotary tables
 * @throws {CheckpointError} naming the first tensor that is missing, left over or of another shape; nothing is loaded then
 */
export async function loadPublished(
  model: Module,
  checkpoint: Checkpoint,
  layout: PublishedLayout,
  { ignore }: { ignore?: RegExp } = {},
): Promise<void> {
  expectLayout(model, checkpoint, layout, ignore);
  for (const [name, parameter] of model.parameters()) {
    const values = new Float32Array(parameter.size);
    let at = 0;
    for (const part of layout(name, parameter.shape)) {
      const [from, to] = rowsOf(part);
      const width = rowSize(part);
      const stored = await checkpoint.read(part.name);
      const numbers =
        part.isInteger && /^[IU]/.test(stored.dtype) ? Float32Array.from(toInt32(stored)) : toFloat32(stored);
      values.set(numbers.subarray(from * width, to * width), at);
      at += (to - from) * width;
    }
    parameter.write(values);
  }
}

function expectLayout(model: Module, checkpoint: Checkpoint, layout: PublishedLayout, ignore?: RegExp): void {
  const used = new Set<string>();
  for (const [name, parameter] of model.parameters())
    for (const part of layout(name, parameter.shape)) {
      if (!checkpoint.has(part.name))
        throw new CheckpointError(
          checkpoint.location,
          "is missing from the checkpoint, but config.json asks for it",
          part.name,
        );
      used.add(part.name);
      const [found, expected] = [formatShape(checkpoint.entry(part.name).shape), formatShape(part.shape)];
      if (found !== expected)
        throw new CheckpointError(
          checkpoint.location,
          `has shape ${found}, config.json asks for ${expected}`,
          part.name,
        );
    }
  const left = checkpoint.names().filter((name) => !used.has(name) && !ignore?.test(name));
  if (left[0] !== undefined)
    throw new CheckpointError(
      checkpoint.location,
      `has no place in the model that config.json describes (${left.length} such tensors)`,
      left[0],
    );
}

/**
 * A model's parameters as published tensors: name, shape and data, for saving and for comparison.
 * @param read the values of a parameter, or what belongs to it, such as its gradient
 */
export async function* publishedTensors(
  model: Module,
  layout: PublishedLayout,
  read: (name: string, parameter: Parameter) => Promise<Float32Array<ArrayBuffer>>,
): AsyncGenerator<WritableTensor & { data: Float32Array<ArrayBuffer> }> {
  /** Tensors of which other parameters hold rows, too. */
  const unfinished = new Map<string, { data: Float32Array<ArrayBuffer>; missing: number }>();
  for (const [name, parameter] of model.parameters()) {
    const values = await read(name, parameter);
    let at = 0;
    for (const part of layout(name, parameter.shape)) {
      const [from, to] = rowsOf(part);
      const width = rowSize(part);
      const size = (part.shape[0] ?? 1) * width;
      const piece = values.slice(at, at + (to - from) * width);
      at += piece.length;
      const tensor = unfinished.get(part.name) ?? {
        data: piece.length === size ? piece : new Float32Array(size),
        missing: size,
      };
      if (tensor.data !== piece) tensor.data.set(piece, from * width);
      tensor.missing -= piece.length;
      if (tensor.missing > 0) unfinished.set(part.name, tensor);
      else {
        unfinished.delete(part.name);
        yield { name: part.name, dtype: "F32", shape: part.shape, data: tensor.data };
      }
    }
  }
}
