export {
  type DecoderForwardOptions,
  type DecoderOptions,
  type DecoderOutput,
  type DecoderTrace,
  MoeDecoder,
} from "./decoder.ts";
export {
  DecoderLayer,
  type DecoderLayerOptions,
  type FeedForward,
  type FeedForwardContext,
  type FeedForwardOutput,
  type LayerTrace,
} from "./decoder-layer.ts";
export { type GenerateOptions, generateGreedy } from "./generate.ts";
export { decoderFromConfig, loadDecoder } from "./load.ts";
export { type DeepseekConfig, deepseekDecoder } from "./models/deepseek.ts";
export { type DeepseekV3Config, deepseekV3Decoder } from "./models/deepseek-v3.ts";
export { dynamicMoeDecoder } from "./models/dynamic-moe.ts";
export { mixtralDecoder } from "./models/mixtral.ts";
export { moePlusPlusDecoder } from "./models/moe-plus-plus.ts";
export { monetDecoder } from "./models/monet.ts";
export { qwenMoeDecoder } from "./models/qwen-moe.ts";
export { rmoeDecoder } from "./models/rmoe.ts";
