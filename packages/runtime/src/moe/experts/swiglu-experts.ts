import type { Device } from "../../device/device.ts";
import { combineLinear, expandSwiglu } from "../../ops/row-groups.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Routing } from "../routing.ts";
import { Experts, type ExpertsOptions } from "./experts.ts";

/** E_e(x) = W_down,e (silu(W_gate,e x) · W_up,e x): the experts of Mixtral, Qwen, DeepSeek and Time-MoE (Shazeer 2020, arXiv:2002.05202). */
export class SwigluExperts extends Experts {
  /** [E, F, H] */
  readonly gate;
  /** [E, F, H] */
  readonly up;
  /** [E, H, F] */
  readonly down;

  constructor(device: Device, options: ExpertsOptions) {
    super(device, options);
    const { numExperts: E, hiddenSize: H, intermediateSize: F } = this;
    this.gate = this.matrix("gate_proj", [E, F, H], options.initializer);
    this.up = this.matrix("up_proj", [E, F, H], options.initializer);
    this.down = this.matrix("down_proj", [E, H, F], options.initializer);
  }

  override forward(x: Tensor<"f32">, { plan, weights }: Routing): Tensor<"f32"> {
    return combineLinear(expandSwiglu(x, this.gate, this.up, plan), this.down, weights, plan); // through [A, F]
  }
}
