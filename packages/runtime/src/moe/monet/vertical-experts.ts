import type { Device } from "../../device/device.ts";
import { ConfigError } from "../../device/errors.ts";
import { zeros } from "../../nn/initializers.ts";
import { Linear } from "../../nn/linear.ts";
import type { Parameter } from "../../nn/module.ts";
import { add, multiply } from "../../ops/elementwise.ts";
import { concat, reshape } from "../../ops/layout.ts";
import { matmul } from "../../ops/matmul.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { MonetExperts, type MonetExpertsOptions } from "./monet-experts.ts";
import type { ProductGates } from "./product-gates.ts";

type F32 = Tensor<"f32">;

/**
 * Vertical decomposition: each bank gives half of an expert's hidden units and half of its outputs. With p = σ(U¹ x + c¹) and
 * q = σ(U² x + c²), expert (i, j) is [V¹¹_i p_i + V¹²_i q_j + b¹_i ; V²¹_j p_i + V²²_j q_j + b²_j].
 * @see Park et al. 2024, arXiv:2412.04139
 */
export class VerticalExperts extends MonetExperts {
  /** [M · m/2, H], with biases */
  readonly up: readonly [Linear, Linear];
  /** [H/2, M · m/2]: v11, v12, v21, v22 */
  readonly down: readonly [Linear, Linear, Linear, Linear];
  /** [M, H/2] */
  readonly bias: readonly [Parameter, Parameter];

  /** @throws {ConfigError} when hiddenSize or expertSize is odd */
  constructor(device: Device, options: MonetExpertsOptions) {
    super(device, options);
    const { hiddenSize: H, keysPerAxis: M, expertSize: m } = this;
    if (H % 2 !== 0 || m % 2 !== 0)
      throw new ConfigError(`VerticalExperts: hiddenSize and expertSize must be even, got ${H} and ${m} (moe_dim)`);
    const init = options.initializer ? { initializer: options.initializer } : {};
    const up = () => new Linear(device, { inFeatures: H, outFeatures: (M * m) / 2, bias: true, ...init });
    const down = () => new Linear(device, { inFeatures: (M * m) / 2, outFeatures: H / 2, ...init });
    this.up = [this.child("u1", up()), this.child("u2", up())];
    this.down = [
      this.child("v11", down()),
      this.child("v12", down()),
      this.child("v21", down()),
      this.child("v22", down()),
    ];
    this.bias = [this.parameter("b1", [M, H / 2], zeros), this.parameter("b2", [M, H / 2], zeros)];
  }

  // First half: Σ_i V¹¹_i (α_i p_i) + V¹²_i Σ_j w_ij q_j + α_i b¹_i with α_i = Σ_j w_ij; the second with the axes exchanged.
  protected override compute(x: F32, gates: ProductGates): F32 {
    const [N, M, half] = [x.axis(0), this.keysPerAxis, this.expertSize / 2];
    const [p, q] = this.up.map((up) => reshape(this.activation(up.forward(x)), [N, M, half])) as [F32, F32];
    const [v11, v12, v21, v22] = this.down;
    const [alpha, beta] = [gates.total(0), gates.total(1)]; // [N, M]
    const flat = (rows: F32) => reshape(rows, [N, M * half]);
    const scaled = (rows: F32, by: F32) => flat(multiply(rows, reshape(by, [N, M, 1])));
    const sum = (own: F32, mixed: F32, bias: F32) => add(add(own, mixed), bias);
    const upper = sum(v11.forward(scaled(p, alpha)), v12.forward(flat(gates.mix(q, 0))), matmul(alpha, this.bias[0]));
    const lower = sum(v22.forward(scaled(q, beta)), v21.forward(flat(gates.mix(p, 1))), matmul(beta, this.bias[1]));
    return concat([upper, lower], 1);
  }
}
