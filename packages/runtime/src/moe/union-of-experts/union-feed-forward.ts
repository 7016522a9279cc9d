import type { Device } from "../../device/device.ts";
import { ConfigError, ValueError } from "../../device/errors.ts";
import { dropout } from "../../ops/dropout.ts";
import { gelu } from "../../ops/elementwise.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { RouteContext } from "../routers/router.ts";
import type { TokenSelection } from "./token-selection.ts";
import { UnionBlock, type UnionOptions, type UnionOutput } from "./union-block.ts";
import { UnionLinear } from "./union-linear.ts";

type F32 = Tensor<"f32">;

export interface UnionFeedForwardOptions extends UnionOptions {
  /** F of the dense MLP; the experts divide it evenly. */
  intermediateSize: number;
  /** Of the hidden units and of the outputs, in training. Default 0. */
  dropout?: number;
}

export interface UnionFeedForwardContext extends Pick<RouteContext, "training" | "key"> {
  /** Takes the place of the gate's choice. */
  selection?: TokenSelection | undefined;
}

/**
 * Union of MLP experts with data selection: expert e owns a share of the hidden units, and takes half of each sequence's tokens,
 * those that score highest for it. With every token in every expert this is the dense MLP W₂ gelu(W₁ x + b₁) + b₂.
 * @see Yang et al. 2025, arXiv:2503.02495; layer UoME_DS of its code
 */
export class UnionFeedForward extends UnionBlock {
  /** [E, H, F/E] */
  readonly up: UnionLinear;
  /** [E, F/E, H] */
  readonly down: UnionLinear;
  readonly #dropout: number;

  constructor(device: Device, options: UnionFeedForwardOptions) {
    const { hiddenSize: H, numExperts: E, intermediateSize: F } = options;
    if (!Number.isInteger(F / E))
      throw new ConfigError(`UnionFeedForward: intermediateSize ${F} does not divide among ${E} experts`);
    super(device, options, { tokensPerExpert: (length) => Math.floor(length / 2) });
    this.up = this.child("linear1", new UnionLinear(device, "columns", [E, H, F / E]));
    this.down = this.child("linear2", new UnionLinear(device, "rows", [E, F / E, H]));
    this.#dropout = options.dropout ?? 0;
  }

  /** @param x [B, T, H] @throws {ValueError} when dropout in training lacks a key */
  forward(x: F32, { selection: given, training = false, key }: UnionFeedForwardContext = {}): UnionOutput {
    const drop = (values: F32, name: string) => {
      if (!training || this.#dropout === 0) return values;
      if (!key) throw new ValueError("UnionFeedForward: dropout in training needs a key");
      return dropout(values, this.#dropout, key.split(name));
    };
    const { scores, selection } = this.select(x, given);
    const hidden = drop(gelu(this.up.forward(this.gather(x, selection))), "hidden"); // [E, B · S, F/E]
    const outputs = drop(this.down.forward(hidden), "output");
    return { y: this.scatter(x, outputs, scores, selection), scores, selection };
  }
}
