import { LifetimeError, ShapeError } from "../device/errors.ts";
import { map } from "../kernels/map.ts";
import { keep, scope } from "../tensor/scope.ts";
import { expectShape, formatShape, sizeOf } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { aliasOf } from "../tensor/views.ts";

export type Gradient = Tensor<"f32"> | undefined;

/**
 * The vector-Jacobian product of an op: given d loss / d output for each output (undefined where none is needed), returns
 * d loss / d input in the order of the inputs. `saved` holds what `differentiable` was told to save.
 */
export type Vjp = (gradients: Gradient[], saved: Tensor[]) => Gradient[];

interface Node {
  readonly op: string;
  readonly inputs: readonly (number | undefined)[];
  readonly outputs: readonly number[];
  readonly saved: readonly { tensor: Tensor; version: number }[];
  readonly vjp: Vjp;
}

let active: Tape | undefined;

/**
 * First-order reverse-mode differentiation. Ops that run inside `run` and depend on a watched tensor are remembered, with what
 * their gradients need; `backward` walks them in reverse and frees what they saved as it goes.
 */
export class Tape implements Disposable {
  readonly #nodes: Node[] = [];
  readonly #tracked = new Set<number>();
  readonly #watched: readonly Tensor[];
  #used = false;

  /** @param watched the tensors to differentiate with respect to */
  constructor(watched: Iterable<Tensor>) {
    this.#watched = [...watched];
    for (const tensor of this.#watched) this.#tracked.add(tensor.id);
  }

  /** Runs `fn` with this tape listening. On an exception everything saved is dropped. */
  run<T>(fn: () => T): T {
    if (this.#used)
      throw new LifetimeError("Tape.run: this tape was used up by backward; make a new one for each step");
    const outer = active;
    active = this;
    try {
      return fn();
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    } finally {
      active = outer;
    }
  }

  isTracked(tensor: Tensor): boolean {
    return this.#tracked.has(tensor.id);
  }

  /** Called by `differentiable`. */
  add(
    op: string,
    inputs: readonly (Tensor | undefined)[],
    outputs: readonly Tensor[],
    saved: readonly Tensor[],
    vjp: Vjp,
  ): void {
    for (const output of outputs) this.#tracked.add(output.id);
    this.#nodes.push({
      op,
      inputs: inputs.map((input) => (input && this.#tracked.has(input.id) ? input.id : undefined)),
      outputs: outputs.map((output) => output.id),
      saved: saved.map((tensor) => ({ tensor: keep(aliasOf(tensor)), version: tensor.version })),
      vjp,
    });
  }

  /**
   * d `output` / d each watched tensor; tensors that `output` does not depend on have no entry.
   * @param output a scalar, or any tensor together with `seed`, d loss / d output of the same shape
   * @throws {LifetimeError} when called twice, or when a saved tensor was changed in place since
   */
  backward(output: Tensor<"f32">, seed?: Tensor<"f32">): Map<Tensor, Tensor<"f32">> {
    if (this.#used) throw new LifetimeError("Tape.backward: a tape can be walked once");
    if (!seed && sizeOf(output.shape) !== 1)
      throw new ShapeError(`Tape.backward: needs a scalar or a seed, got shape ${formatShape(output.shape)}`);
    if (seed) expectShape("Tape.backward", "seed", seed.shape, output.shape);
    this.#used = true;
    const gradients = new Map<number, Tensor<"f32">>();
    try {
      gradients.set(output.id, keep(seed ? (aliasOf(seed) as Tensor<"f32">) : map("T(1.0)", [output])));
      const leaves = new Set(this.#watched.map((tensor) => tensor.id));
      for (let node = this.#nodes.pop(); node; node = this.#nodes.pop()) this.#walk(node, gradients, leaves);
      const result = new Map<Tensor, Tensor<"f32">>();
      for (const tensor of this.#watched) {
        const gradient = gradients.get(tensor.id);
        if (gradient) result.set(tensor, gradient);
        gradients.delete(tensor.id);
      }
      return result;
    } finally {
      for (const gradient of gradients.values()) gradient.dispose();
      this[Symbol.dispose]();
    }
  }

  #walk(node: Node, gradients: Map<number, Tensor<"f32">>, leaves: ReadonlySet<number>): void {
    const incoming = node.outputs.map((id) => gradients.get(id));
    try {
      if (incoming.every((gradient) => gradient === undefined)) return;
      for (const { tensor, version } of node.saved)
        if (tensor.version !== version)
          throw new LifetimeError(
            `backward of ${node.op}: a saved tensor of shape ${formatShape(tensor.shape)} was changed in place after the op ran`,
          );
      const given = scope(() =>
        node.vjp(
          incoming,
          node.saved.map(({ tensor }) => tensor),
        ),
      );
      for (const [k, id] of node.inputs.entries()) {
        const gradient = given[k];
        if (!gradient) continue;
        if (id === undefined) gradient.dispose();
        else accumulate(gradients, id, gradient);
      }
    } finally {
      for (const { tensor } of node.saved) tensor.dispose();
      for (const [k, id] of node.outputs.entries()) {
        if (leaves.has(id)) continue;
        incoming[k]?.dispose();
        gradients.delete(id);
      }
    }
  }

  [Symbol.dispose](): void {
    this.#used = true;
    for (const { saved } of this.#nodes.splice(0)) for (const { tensor } of saved) tensor.dispose();
  }
}

function accumulate(gradients: Map<number, Tensor<"f32">>, id: number, gradient: Tensor<"f32">): void {
  const before = gradients.get(id);
  gradients.set(id, keep(before ? map("a + b", [before, gradient]) : (aliasOf(gradient) as Tensor<"f32">)));
  before?.dispose();
  gradient.dispose();
}

/**
 * Remembers an op for the listening tape, if there is one and an input depends on a watched tensor.
 * @param saved tensors that the vjp needs: the tape holds on to them, whatever happens to the handles
 */
export function differentiable(
  op: string,
  inputs: readonly (Tensor | undefined)[],
  outputs: readonly Tensor[],
  saved: readonly Tensor[],
  vjp: Vjp,
): void {
  if (active && inputs.some((input) => input !== undefined && active?.isTracked(input)))
    active.add(op, inputs, outputs, saved, vjp);
}

/** Whether the gradient of `tensor` is wanted by the listening tape: ops may skip what only a gradient would need. */
export function needsGradient(tensor: Tensor | undefined): boolean {
  return tensor !== undefined && (active?.isTracked(tensor) ?? false);
}

/** The same values, cut off from the gradient. */
export function stopGradient(x: Tensor<"f32">): Tensor<"f32"> {
  return aliasOf(x);
}
