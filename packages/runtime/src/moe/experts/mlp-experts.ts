import type { Device } from "../../device/device.ts";
import { type Initializer, zeros } from "../../nn/initializers.ts";
import type { Parameter } from "../../nn/module.ts";
import { add, gelu, relu } from "../../ops/elementwise.ts";
import { combineLinear, expandLinear } from "../../ops/row-groups.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Routing } from "../routing.ts";
import { combineExpertBias, slotBias } from "./expert-bias.ts";
import { Experts, type ExpertsOptions } from "./experts.ts";

const ACTIVATIONS = { gelu, relu };

export interface MlpExpertsOptions extends ExpertsOptions {
  /** Default gelu */
  activation?: keyof typeof ACTIVATIONS;
  /** Of the second matrix. Default: as `initializer`. */
  downInitializer?: Initializer;
  /** Whether both layers have a bias. Default false */
  bias?: boolean;
  /** Under which the parameters are registered. Default: up_proj, down_proj, up_proj_bias, down_proj_bias */
  names?: { up: string; down: string; upBias?: string; downBias?: string };
}

/** What FastMoE calls its experts' parameters: models built on it take these. */
export const FASTMOE_EXPERT_NAMES = {
  up: "htoh4.weight",
  down: "h4toh.weight",
  upBias: "htoh4.bias",
  downBias: "h4toh.bias",
} as const;

/** E_e(x) = W_down,e f(W_up,e x + b_up,e) + b_down,e: two-layer experts, GELU without biases as in GShard, ReLU with them in FastMoE. */
export class MlpExperts extends Experts {
  /** [E, F, H] */
  readonly up;
  /** [E, H, F] */
  readonly down;
  /** [E, F] */
  readonly upBias: Parameter | undefined;
  /** [E, H] */
  readonly downBias: Parameter | undefined;
  readonly #activation: keyof typeof ACTIVATIONS;

  constructor(device: Device, options: MlpExpertsOptions) {
    super(device, options);
    const { numExperts: E, hiddenSize: H, intermediateSize: F } = this;
    const { activation = "gelu", bias = false, names = { up: "up_proj", down: "down_proj" }, initializer } = options;
    this.up = this.matrix(names.up, [E, F, H], initializer);
    this.down = this.matrix(names.down, [E, H, F], options.downInitializer ?? initializer);
    this.upBias = bias ? this.parameter(names.upBias ?? "up_proj_bias", [E, F], zeros) : undefined;
    this.downBias = bias ? this.parameter(names.downBias ?? "down_proj_bias", [E, H], zeros) : undefined;
    this.#activation = activation;
  }

  override forward(x: Tensor<"f32">, routing: Routing): Tensor<"f32"> {
    const { plan, weights } = routing;
    const expanded = expandLinear(x, this.up, plan);
    const hidden = ACTIVATIONS[this.#activation](this.upBias ? add(expanded, slotBias(this.upBias, plan)) : expanded);
    const y = combineLinear(hidden, this.down, weights, plan);
    return this.downBias ? add(y, combineExpertBias(this.downBias, routing)) : y;
  }
}
