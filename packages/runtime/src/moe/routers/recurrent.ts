import type { Device } from "../../device/device.ts";
import { ConfigError, ShapeError } from "../../device/errors.ts";
import { zeros } from "../../kernels/fill.ts";
import { type Initializer, uniform } from "../../nn/initializers.ts";
import { Module, type Parameter } from "../../nn/module.ts";
import { add, multiply, sigmoid, subtract, tanh } from "../../ops/elementwise.ts";
import { linear } from "../../ops/matmul.ts";
import { stopGradient } from "../../ops/tape.ts";
import { softmaxTopK } from "../../ops/top-k.ts";
import { formatShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type Routing, sparseRouting } from "../routing.ts";
import { type RouteContext, Router, type RouterOptions } from "./router.ts";

type F32 = Tensor<"f32">;

/** A recurrent cell over depth: one for all layers of a model. */
export abstract class RouterCell extends Module {
  /** p: width of its input and state. */
  readonly size: number;
  readonly #initializer: Initializer;

  constructor(device: Device, size: number, gates: readonly string[]) {
    super(device);
    if (!(Number.isInteger(size) && size >= 1))
      throw new ConfigError(`RouterCell: size is ${size}, expected 1 or more`);
    this.size = size;
    this.#initializer = uniform(1 / Math.sqrt(size));
    for (const gate of gates)
      for (const source of ["i", "h"]) {
        this.parameter(`weight_${source}${gate}`, [size, size], this.#initializer);
        this.parameter(`bias_${source}${gate}`, [size], this.#initializer);
      }
  }

  /** @param input [N, p]; @param state [N, p] @returns [N, p] */
  abstract forward(input: F32, state: F32): F32;

  /** W_source,gate x + b_source,gate */
  protected project(source: "i" | "h", gate: string, x: F32): F32 {
    const parameters = this.parameters();
    return linear(
      x,
      parameters.get(`weight_${source}${gate}`) as Parameter,
      parameters.get(`bias_${source}${gate}`) as Parameter,
    );
  }
}

/** h' = (1 − q) n + q h with r, q = sigmoid(W z + U h) and n = tanh(W z + r (U h)) (Cho et al. 2014, arXiv:1406.1078, as in PyTorch). */
export class GruCell extends RouterCell {
  constructor(device: Device, size: number) {
    super(device, size, ["r", "z", "n"]);
  }

  override forward(input: F32, state: F32): F32 {
    const gate = (name: string) => sigmoid(add(this.project("i", name, input), this.project("h", name, state)));
    const candidate = tanh(add(this.project("i", "n", input), multiply(gate("r"), this.project("h", "n", state))));
    return add(candidate, multiply(gate("z"), subtract(state, candidate)));
  }
}

/** h' = tanh(W z + U h). */
export class RnnCell extends RouterCell {
  constructor(device: Device, size: number) {
    super(device, size, ["n"]);
  }

  override forward(input: F32, state: F32): F32 {
    return tanh(add(this.project("i", "n", input), this.project("h", "n", state)));
  }
}

/** What the router of the layer before knew: h [N, p]. */
export interface RecurrentState {
  hidden: F32;
}

export interface RecurrentRouterOptions extends RouterOptions {
  /** Shared by all layers; the model owns it. */
  cell: RouterCell;
  /** Divides the chosen probabilities by their sum. Default true */
  normalizeTopK?: boolean;
  /**
   * What comes from the layer before: its state with gradients (default), the state alone ("detached"), or nothing ("none", so that
   * the cell is a mere non-linear map). The paper's ablations.
   */
  passing?: "state" | "detached" | "none";
  /** Names of the two projections. Default: weight1 and weight2, as published */
  names?: { project: string; gate: string };
}

/**
 * RMoE: a recurrent cell runs along depth for every token, h_i = Cell(W₁ x, h_{i−1}) with h = 0 before the first layer, and the logits are
 * W₂ h_i; so a router knows how the layers before routed, and they get gradients through it. The state is a token's own: no cache.
 * @see Qiu et al. 2024, arXiv:2408.06793, section 3.2
 */
export class RecurrentRouter extends Router<RecurrentState> {
  readonly cell: RouterCell;
  /** W₁ [p, H] */
  readonly project: Parameter;
  /** W₂ [E, p] */
  readonly gate: Parameter;
  readonly normalizeTopK: boolean;
  readonly passing: "state" | "detached" | "none";

  constructor(device: Device, { cell, names, ...options }: RecurrentRouterOptions) {
    super(device, options);
    this.cell = cell;
    const { project, gate } = names ?? { project: "weight1", gate: "weight2" };
    this.project = this.parameter(project, [cell.size, this.hiddenSize], this.initializer);
    this.gate = this.parameter(gate, [this.numExperts, cell.size], this.initializer);
    this.normalizeTopK = options.normalizeTopK ?? true;
    this.passing = options.passing ?? "state";
  }

  /** @throws {ShapeError} when the state is for another number of tokens */
  override route(x: F32, state?: RecurrentState, { mask }: RouteContext = {}): Routing<RecurrentState> {
    const hidden = this.cell.forward(linear(x, this.project), this.#before(x, state));
    const logits = linear(hidden, this.gate);
    const { probs, indices, values } = softmaxTopK(logits, this.topK, { normalize: this.normalizeTopK });
    return sparseRouting({ indices, weights: values, probs, logits, mask, state: { hidden } });
  }

  #before(x: F32, state: RecurrentState | undefined): F32 {
    const [N, p] = [x.axis(0), this.cell.size];
    if (!state || this.passing === "none") return zeros(x.device, [N, p], "f32");
    if (state.hidden.axis(0) !== N || state.hidden.axis(1) !== p)
      throw new ShapeError(
        `RecurrentRouter: a state ${formatShape(state.hidden.shape)} for ${N} tokens, expected [${N}, ${p}]`,
      );
    return this.passing === "detached" ? stopGradient(state.hidden) : state.hidden;
  }
}
