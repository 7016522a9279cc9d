import type { Device } from "../../device/device.ts";
import { ConfigError, ShapeError } from "../../device/errors.ts";
import type { Initializer } from "../../nn/initializers.ts";
import { Module } from "../../nn/module.ts";
import { gelu, relu, square } from "../../ops/elementwise.ts";
import { concat, slice } from "../../ops/layout.ts";
import { formatShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { ExpertMask } from "./expert-mask.ts";
import type { ProductRouting } from "./monet-router.ts";
import { ProductGates } from "./product-gates.ts";

type F32 = Tensor<"f32">;

/** The products over a token's keys run as one batch, which is a dimension of a dispatch. */
const MAX_TOKENS = 65_535;

/** relu2: max(x, 0)² (So et al. 2021, arXiv:2109.08668); gelu in its exact form. */
export type MonetActivation = "relu2" | "gelu";

export interface MonetExpertsOptions {
  hiddenSize: number;
  /** M: keys of an axis; M² experts. */
  keysPerAxis: number;
  /** m: hidden units of one expert. */
  expertSize: number;
  activation?: MonetActivation;
  initializer?: Initializer;
}

/** M² experts made of two banks of M half-experts; y = Σ_ij w_ij E_ij(x) at a cost of O(heads · M · m + M · m · H) a token. */
export abstract class MonetExperts extends Module {
  readonly hiddenSize: number;
  readonly keysPerAxis: number;
  readonly expertSize: number;
  protected readonly activation: (x: F32) => F32;

  constructor(device: Device, { hiddenSize, keysPerAxis, expertSize, activation = "relu2" }: MonetExpertsOptions) {
    super(device);
    if (![hiddenSize, keysPerAxis, expertSize].every((n) => Number.isInteger(n) && n >= 1))
      throw new ConfigError(
        `MonetExperts: sizes must be positive integers, got hiddenSize=${hiddenSize}, keysPerAxis=${keysPerAxis}, expertSize=${expertSize}`,
      );
    this.hiddenSize = hiddenSize;
    this.keysPerAxis = keysPerAxis;
    this.expertSize = expertSize;
    this.activation = activation === "gelu" ? gelu : (x) => square(relu(x));
  }

  /**
   * @param x [N, H]
   * @param routing of the same tokens, perhaps a layer further down: layers between two routers share gates
   * @param mask experts that are switched off
   * @returns [N, H]
   */
  forward(x: F32, routing: ProductRouting, mask?: ExpertMask): F32 {
    const { g1, g2 } = routing;
    if (x.rank !== 2 || x.axis(1) !== this.hiddenSize || g1.axis(0) !== x.axis(0) || g1.axis(2) !== this.keysPerAxis)
      throw new ShapeError(
        `MonetExperts: x ${formatShape(x.shape)} must be [N, ${this.hiddenSize}], and gates ${formatShape(g1.shape)} [N, heads, ${this.keysPerAxis}]`,
      );
    const numTokens = x.axis(0);
    if (numTokens <= MAX_TOKENS) return this.compute(x, new ProductGates(routing, mask));
    const starts = Array.from({ length: Math.ceil(numTokens / MAX_TOKENS) }, (_, part) => part * MAX_TOKENS);
    const parts = starts.map((start) => {
      const of = (rows: F32) => slice(rows, 0, start, Math.min(MAX_TOKENS, numTokens - start));
      return this.compute(of(x), new ProductGates({ g1: of(g1), g2: of(g2) }, mask));
    });
    return concat(parts, 0);
  }

  protected abstract compute(x: F32, gates: ProductGates): F32;
}
