import type { Device } from "../../device/device.ts";
import { ConfigError } from "../../device/errors.ts";
import { xavierNormal, zeros } from "../../nn/initializers.ts";
import { Module, type Parameter } from "../../nn/module.ts";
import { add } from "../../ops/elementwise.ts";
import { reshape } from "../../ops/layout.ts";
import { matmul } from "../../ops/matmul.ts";
import { formatShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";

type F32 = Tensor<"f32">;

/** [E, in, out] */
type BankShape = readonly [number, number, number];

/** Linear layers of all experts, stored in-major: y[e] = x[e] · W[e] + b[e]. */
export class UnionLinear extends Module {
  /** [E, in, out] */
  readonly weight: Parameter;
  /** [E, 1, out] of columns, [E, out] of rows: as published. */
  readonly bias: Parameter;
  readonly #shape: BankShape;

  /**
   * @param cut `columns`: the experts divide the outputs of a dense layer, its bias with them; `rows`: they divide its inputs, and
   *   each adds a bias of its own to the sum
   */
  constructor(device: Device, cut: "columns" | "rows", shape: BankShape) {
    super(device);
    if (!shape.every((length) => Number.isInteger(length) && length >= 1))
      throw new ConfigError(`UnionLinear: [experts, in, out] must be positive integers, got ${formatShape(shape)}`);
    const [E, , out] = shape;
    this.#shape = shape;
    this.weight = this.parameter("weight.0", shape, xavierNormal);
    this.bias =
      cut === "columns" ? this.parameter("bias.0", [E, 1, out], zeros) : this.parameter("bias", [E, out], zeros);
  }

  /** @param x [E, rows, in] @returns [E, rows, out] */
  forward(x: F32): F32 {
    const [E, , out] = this.#shape;
    return add(matmul(x, this.weight), reshape(this.bias, [E, 1, out]));
  }
}
