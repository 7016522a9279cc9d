import type { Device } from "../../device/device.ts";
import { zeros } from "../../nn/initializers.ts";
import { Linear } from "../../nn/linear.ts";
import type { Parameter } from "../../nn/module.ts";
import { add } from "../../ops/elementwise.ts";
import { reshape } from "../../ops/layout.ts";
import { matmul } from "../../ops/matmul.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { MonetExperts, type MonetExpertsOptions } from "./monet-experts.ts";
import type { ProductGates } from "./product-gates.ts";

type F32 = Tensor<"f32">;

/**
 * Horizontal decomposition: expert (i, j) is E_ij(x) = V_j σ(U_i x + c_i) + b_j, its first layer from one bank, its second from the
 * other.
 * @see Park et al. 2024, arXiv:2412.04139
 */
export class HorizontalExperts extends MonetExperts {
  /** [M · m, H], with a bias */
  readonly up: Linear;
  /** [H, M · m] */
  readonly down: Linear;
  /** [M, H] */
  readonly bias: Parameter;

  constructor(device: Device, options: MonetExpertsOptions) {
    super(device, options);
    const { hiddenSize: H, keysPerAxis: M, expertSize: m } = this;
    const init = options.initializer ? { initializer: options.initializer } : {};
    this.up = this.child("u", new Linear(device, { inFeatures: H, outFeatures: M * m, bias: true, ...init }));
    this.down = this.child("v", new Linear(device, { inFeatures: M * m, outFeatures: H, ...init }));
    this.bias = this.parameter("b", [M, H], zeros);
  }

  // y = Σ_j V_j s_j + Σ_j (Σ_i w_ij) b_j with s_j = Σ_i w_ij σ(U_i x + c_i)
  protected override compute(x: F32, gates: ProductGates): F32 {
    const [N, M, m] = [x.axis(0), this.keysPerAxis, this.expertSize];
    const hidden = reshape(this.activation(this.up.forward(x)), [N, M, m]);
    const mixed = reshape(gates.mix(hidden, 1), [N, M * m]);
    return add(this.down.forward(mixed), matmul(gates.total(1), this.bias));
  }
}
