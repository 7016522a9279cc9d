export { Embedding, type EmbeddingOptions } from "./embedding.ts";
export { SwigluFeedForward } from "./feed-forward.ts";
export { Linear } from "./linear.ts";
export { type Initializer, Module, normal, ones, Parameter, uniform, zeros } from "./module.ts";
export { LayerNorm, RmsNorm } from "./norm.ts";
export { DecoderBlock, type DecoderBlockOptions } from "./transformer/decoder-block.ts";
export { type AttentionContext, SelfAttention, type SelfAttentionOptions } from "./transformer/self-attention.ts";
