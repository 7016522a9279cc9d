import type { Device } from "../../device/device.ts";
import { gelu } from "../../ops/elementwise.ts";
import { combineLinear, expandLinear } from "../../ops/row-groups.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Routing } from "../routing.ts";
import { Experts, type ExpertsOptions } from "./experts.ts";

/** E_e(x) = W_down,e gelu(W_up,e x), without biases: the experts of GShard-like models. */
export class GeluExperts extends Experts {
  /** [E, F, H] */
  readonly up;
  /** [E, H, F] */
  readonly down;

  constructor(device: Device, options: ExpertsOptions) {
    super(device, options);
    const { numExperts: E, hiddenSize: H, intermediateSize: F } = this;
    this.up = this.matrix("up_proj", [E, F, H], options.initializer);
    this.down = this.matrix("down_proj", [E, H, F], options.initializer);
  }

  override forward(x: Tensor<"f32">, { plan, weights }: Routing): Tensor<"f32"> {
    return combineLinear(gelu(expandLinear(x, this.up, plan)), this.down, weights, plan);
  }
}
