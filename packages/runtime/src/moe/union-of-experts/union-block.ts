import type { Device } from "../../device/device.ts";
import { ShapeError } from "../../device/errors.ts";
import { Module } from "../../nn/module.ts";
import { LayerNorm } from "../../nn/norm.ts";
import { add, multiply } from "../../ops/elementwise.ts";
import { gatherRows, scatterRows } from "../../ops/gather-rows.ts";
import { permute, reshape } from "../../ops/layout.ts";
import { takeAlong } from "../../ops/top-k.ts";
import { formatShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type GateForm, gateFactors } from "./gate-form.ts";
import { SwitchGate, type SwitchScores } from "./switch-gate.ts";
import { rowsOfSelection, type SelectionRule, selectTokens, type TokenSelection } from "./token-selection.ts";

type F32 = Tensor<"f32">;

export interface UnionOptions {
  hiddenSize: number;
  numExperts: number;
  /** Experts that a token scores for. */
  topK: number;
  selection?: Partial<SelectionRule>;
  capacityFactor?: number;
  gate?: GateForm;
  /** x + experts(x) without the norm behind it; the norm in front is the model's. Default false: LayerNorm(x + experts(x)). */
  preNorm?: boolean;
}

export interface UnionOutput {
  /** [B, T, H] */
  y: F32;
  scores: SwitchScores;
  selection: TokenSelection;
}

/** A residual block of experts that each take some tokens of every sequence: what the attention and the MLP form share. */
export abstract class UnionBlock extends Module {
  readonly gate: SwitchGate;
  readonly gateForm: GateForm;
  readonly rule: SelectionRule;
  readonly numExperts: number;
  readonly hiddenSize: number;
  readonly norm: LayerNorm;
  readonly #preNorm: boolean;

  constructor(device: Device, options: UnionOptions, rule: SelectionRule) {
    super(device);
    this.numExperts = options.numExperts;
    this.hiddenSize = options.hiddenSize;
    this.gateForm = options.gate ?? "none";
    this.rule = { ...rule, ...options.selection };
    this.gate = this.child("switch_gate", new SwitchGate(device, options));
    this.norm = this.child("layer_norm", new LayerNorm(device, options.hiddenSize));
    this.#preNorm = options.preNorm ?? false;
  }

  protected select(x: F32, selection?: TokenSelection): { scores: SwitchScores; selection: TokenSelection } {
    const scores = this.gate.forward(x);
    return { scores, selection: selection ?? selectTokens(scores.scores, this.rule) };
  }

  /** The selected tokens of x [B, T, H], expert by expert: [E, B · S, H], zeros where there is none. */
  protected gather(x: F32, selection: TokenSelection): F32 {
    const { hiddenSize, numExperts } = this;
    if (x.rank !== 3 || x.axis(2) !== hiddenSize)
      throw new ShapeError(`${this.constructor.name}: x ${formatShape(x.shape)} must be [B, T, ${hiddenSize}]`);
    const tokens = reshape(x, [x.axis(0) * x.axis(1), hiddenSize]);
    const rows = gatherRows(tokens, rowsOfSelection(selection, x.axis(1)));
    return reshape(rows, [numExperts, rows.axis(0) / numExperts, hiddenSize]);
  }

  /** Adds the experts' rows [E, B · S, H], weighed as the gate form says, to their tokens, and these to x. */
  protected scatter(x: F32, rows: F32, { kept }: SwitchScores, selection: TokenSelection): F32 {
    const [B, T, H] = [x.axis(0), x.axis(1), x.axis(2)];
    let weighed = rows;
    if (this.gateForm !== "none") {
      const own = takeAlong(permute(kept, [2, 0, 1]), selection.indices); // [E, B, S]
      weighed = multiply(rows, reshape(gateFactors(own, this.gateForm), [...rows.shape.slice(0, 2), 1]));
    }
    const flat = reshape(weighed, [rows.axis(0) * rows.axis(1), H]);
    const sum = scatterRows(flat, rowsOfSelection(selection, T), B * T);
    const residual = add(x, reshape(sum, x.shape));
    return this.#preNorm ? residual : this.norm.forward(residual);
  }
}
