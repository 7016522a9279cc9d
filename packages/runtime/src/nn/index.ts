export { Embedding, type EmbeddingOptions } from "./embedding.ts";
export { SwigluFeedForward } from "./feed-forward.ts";
export {
  type Initializer,
  normal,
  ones,
  truncatedNormal,
  uniform,
  xavierNormal,
  zeros,
} from "./initializers.ts";
export { Linear } from "./linear.ts";
export { Module, Parameter } from "./module.ts";
export { LayerNorm, RmsNorm } from "./norm.ts";
export { DecoderBlock, type DecoderBlockOptions } from "./transformer/decoder-block.ts";
export { LatentAttention, type LatentAttentionOptions } from "./transformer/latent-attention.ts";
export { type AttentionContext, SelfAttention, type SelfAttentionOptions } from "./transformer/self-attention.ts";
