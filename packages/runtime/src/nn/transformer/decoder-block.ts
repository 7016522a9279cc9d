import type { Device } from "../../device/device.ts";
import { add } from "../../ops/elementwise.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { Module } from "../module.ts";
import { RmsNorm } from "../norm.ts";
import { type AttentionContext, SelfAttention, type SelfAttentionOptions } from "./self-attention.ts";

export interface DecoderBlockOptions extends SelfAttentionOptions {
  normEpsilon?: number;
}

/**
 * A pre-norm decoder block: h += attention(norm(h)); h += feedForward(norm(h)). The feed-forward is an argument, so that the block
 * serves dense and sparse models alike; its owner is the model's layer.
 */
export class DecoderBlock extends Module {
  readonly inputNorm: RmsNorm;
  readonly attention: SelfAttention;
  readonly postAttentionNorm: RmsNorm;

  constructor(device: Device, options: DecoderBlockOptions) {
    super(device);
    this.inputNorm = this.child("input_layernorm", new RmsNorm(device, options.hiddenSize, options.normEpsilon));
    this.attention = this.child("self_attn", new SelfAttention(device, options));
    this.postAttentionNorm = this.child(
      "post_attention_layernorm",
      new RmsNorm(device, options.hiddenSize, options.normEpsilon),
    );
  }

  /** @param x [B, T, H] @returns [B, T, H] */
  forward(
    x: Tensor<"f32">,
    context: AttentionContext,
    feedForward: (x: Tensor<"f32">) => Tensor<"f32">,
  ): Tensor<"f32"> {
    const h = add(x, this.attention.forward(this.inputNorm.forward(x), context));
    return add(h, feedForward(this.postAttentionNorm.forward(h)));
  }
}
