import type { Device } from "../device/device.ts";
import { map } from "../kernels/map.ts";
import { where } from "../ops/elementwise.ts";
import { embedding } from "../ops/gather-rows.ts";
import { stopGradient } from "../ops/tape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { viewOf } from "../tensor/views.ts";
import type { Initializer } from "./initializers.ts";
import { Module, type Parameter } from "./module.ts";

export interface EmbeddingOptions {
  /** V: number of ids. */
  numEmbeddings: number;
  hiddenSize: number;
  /** An id whose vector gets no gradient, as PyTorch's padding_idx. Default: none */
  paddingIndex?: number | undefined;
  initializer?: Initializer;
}

/** A vector for each id. */
export class Embedding extends Module {
  readonly weight: Parameter;
  readonly paddingIndex: number | undefined;

  constructor(device: Device, { numEmbeddings, hiddenSize, paddingIndex, initializer }: EmbeddingOptions) {
    super(device);
    this.paddingIndex = paddingIndex;
    this.weight = this.parameter("weight", [numEmbeddings, hiddenSize], initializer);
  }

  /** @param ids [...] u32, below V; others give zeros @returns [..., H] */
  forward(ids: Tensor<"u32">): Tensor<"f32"> {
    const vectors = embedding(ids, this.weight);
    if (this.paddingIndex === undefined) return vectors;
    const isPadding = map("select(T(0.0), T(1.0), T(a) == s0)", [viewOf(ids, [...ids.shape, 1])], {
      scalars: [this.paddingIndex],
    });
    return where(isPadding, stopGradient(vectors), vectors);
  }
}
