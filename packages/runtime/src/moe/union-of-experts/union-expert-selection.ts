import type { Device } from "../../device/device.ts";
import { ConfigError, ShapeError } from "../../device/errors.ts";
import { arange } from "../../kernels/fill.ts";
import { map } from "../../kernels/map.ts";
import { Linear } from "../../nn/linear.ts";
import { Module } from "../../nn/module.ts";
import { LayerNorm } from "../../nn/norm.ts";
import { add, gelu, multiply } from "../../ops/elementwise.ts";
import { gatherRows } from "../../ops/gather-rows.ts";
import { permute, reshape } from "../../ops/layout.ts";
import { sum } from "../../ops/reduction.ts";
import { combineLinear, expandLinear } from "../../ops/row-groups.ts";
import { softmaxTopK } from "../../ops/top-k.ts";
import { formatShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { viewOf } from "../../tensor/views.ts";
import { type Routing, sparseRouting } from "../routing.ts";
import { type GateForm, gateFactors } from "./gate-form.ts";
import type { UnionOptions } from "./union-block.ts";
import { UnionLinear } from "./union-linear.ts";

type F32 = Tensor<"f32">;

export interface UnionExpertSelectionOptions extends Omit<UnionOptions, "selection" | "capacityFactor"> {
  intermediateSize: number;
  /** T: the gate reads whole sequences of this length. */
  length: number;
}

/**
 * Union of MLP experts with expert selection: a sequence takes K experts whole. s = softmax(W vec(x) + b) over the experts from all
 * T · H values of a sequence; the outputs of the K experts of highest s add up.
 * @see Yang et al. 2025, arXiv:2503.02495; layer UoME_ES of its code
 */
export class UnionExpertSelection extends Module {
  readonly gate: Linear;
  readonly norm: LayerNorm;
  /** [E, H, F/E] */
  readonly up: UnionLinear;
  /** [E, F/E, H] */
  readonly down: UnionLinear;
  readonly #length: number;
  readonly #topK: number;
  readonly #gateForm: GateForm;
  readonly #preNorm: boolean;

  constructor(device: Device, options: UnionExpertSelectionOptions) {
    super(device);
    const { hiddenSize: H, numExperts: E, intermediateSize: F, length, topK, gate = "none", preNorm = false } = options;
    if (!Number.isInteger(F / E) || !(topK >= 1 && topK <= E))
      throw new ConfigError(
        `UnionExpertSelection: need 1 ≤ topK ≤ numExperts that divide intermediateSize, got topK=${topK}, numExperts=${E}, intermediateSize=${F}`,
      );
    this.gate = this.child(
      "switch_gate.w_gate",
      new Linear(device, { inFeatures: length * H, outFeatures: E, bias: true }),
    );
    this.norm = this.child("layer_norm", new LayerNorm(device, H));
    this.up = this.child("linear1", new UnionLinear(device, "columns", [E, H, F / E]));
    this.down = this.child("linear2", new UnionLinear(device, "rows", [E, F / E, H]));
    this.#length = length;
    this.#topK = topK;
    this.#gateForm = gate;
    this.#preNorm = preNorm;
  }

  /**
   * @param x [B, T, H], T the length that the gate was made for
   * @returns y [B, T, H], and the routing of B · T tokens, whose probs and logits are those of their sequences
   */
  forward(x: F32): { y: F32; routing: Routing } {
    const [B, T, H] = [x.axis(0), x.axis(1), x.axis(2)];
    if (x.rank !== 3 || T !== this.#length)
      throw new ShapeError(`UnionExpertSelection: x ${formatShape(x.shape)} must be [B, ${this.#length}, ${H}]`);
    const logits = this.gate.forward(reshape(x, [B, T * H])); // [B, E]
    const { probs, values, indices } = softmaxTopK(logits, this.#topK);
    const factors = this.#gateForm === "none" ? map("T(1.0)", [values]) : gateFactors(values, this.#gateForm); // [B, K]
    const eachSequence = viewOf(arange(x.device, B, "u32"), [B, 1]);
    const sequence = viewOf(map("a", [eachSequence], { dtype: "u32", shape: [B, T] }), [B * T]);
    const routing = sparseRouting({
      indices: gatherRows(indices, sequence),
      weights: gatherRows(factors, sequence),
      probs: gatherRows(probs, sequence),
      logits: gatherRows(logits, sequence),
    });
    const sums = reshape(this.#experts(reshape(x, [B * T, H]), routing), x.shape);
    const biases = gatherRows(this.down.bias, viewOf(indices, [indices.size])); // [B · K, H]
    const weighed = multiply(reshape(biases, [B, this.#topK, H]), reshape(factors, [B, this.#topK, 1]));
    const residual = add(x, add(sums, reshape(sum(weighed, 1), [B, 1, H])));
    return { y: this.#preNorm ? residual : this.norm.forward(residual), routing };
  }

  /** The experts' sums without the biases of their outputs. */
  #experts(tokens: F32, { plan, weights }: Routing): F32 {
    const outMajor = (weight: F32) => permute(weight, [0, 2, 1]);
    const [E, part] = [this.up.bias.axis(0), this.up.bias.axis(2)];
    const slotExpert = gatherRows(viewOf(plan.assignmentExpert, [-1, 1]), plan.slotAssignment);
    const bias = gatherRows(reshape(this.up.bias, [E, part]), viewOf(slotExpert, [-1])); // [A, F/E]
    const hidden = gelu(add(expandLinear(tokens, outMajor(this.up.weight), plan), bias));
    return combineLinear(hidden, outMajor(this.down.weight), weights, plan);
  }
}
