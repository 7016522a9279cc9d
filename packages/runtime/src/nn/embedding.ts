import type { Device } from "../device/device.ts";
import { embedding } from "../ops/gather-rows.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Initializer } from "./initializers.ts";
import { Module, type Parameter } from "./module.ts";

export interface EmbeddingOptions {
  /** V: number of ids. */
  numEmbeddings: number;
  hiddenSize: number;
  initializer?: Initializer;
}

/** A vector for each id. */
export class Embedding extends Module {
  readonly weight: Parameter;

  constructor(device: Device, { numEmbeddings, hiddenSize, initializer }: EmbeddingOptions) {
    super(device);
    this.weight = this.parameter("weight", [numEmbeddings, hiddenSize], initializer);
  }

  /** @param ids [...] u32, below V; others give zeros @returns [..., H] */
  forward(ids: Tensor<"u32">): Tensor<"f32"> {
    return embedding(ids, this.weight);
  }
}
