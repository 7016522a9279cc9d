import { ConfigError, type Device } from "@moebius/runtime/device";
import { type HubOptions, isObject, loadModel } from "@moebius/runtime/io";
import type { MoeDecoder } from "./decoder.ts";
import { deepseekDecoder } from "./models/deepseek.ts";
import { deepseekV3Decoder } from "./models/deepseek-v3.ts";
import { dynamicMoeDecoder } from "./models/dynamic-moe.ts";
import { mixtralDecoder } from "./models/mixtral.ts";
import { moePlusPlusDecoder } from "./models/moe-plus-plus.ts";
import { monetDecoder } from "./models/monet.ts";
import { qwenMoeDecoder } from "./models/qwen-moe.ts";
import { rmoeDecoder } from "./models/rmoe.ts";

type MakeDecoder = (device: Device, config: unknown, source?: string) => MoeDecoder;

const FAMILIES: Readonly<Record<string, MakeDecoder>> = {
  deepseek: deepseekDecoder,
  deepseek_v2: deepseekV3Decoder,
  deepseek_v3: deepseekV3Decoder,
  llama_moe_rnn: rmoeDecoder,
  mixtral: mixtralDecoder,
  "MoE++": moePlusPlusDecoder,
  monet: monetDecoder,
  olmoe: qwenMoeDecoder,
  qwen2_moe: qwenMoeDecoder,
  qwen3_moe: qwenMoeDecoder,
};

/**
 * The model that a published config.json describes, with weights still to be loaded or initialised.
 * @throws {ConfigError} for a model_type that is not known, or naming the key that is wrong
 */
export function decoderFromConfig(device: Device, config: unknown, source = "config.json"): MoeDecoder {
  if (!isObject(config)) throw new ConfigError(`${source}: must be an object`);
  if ("top_p_threshold" in config) return dynamicMoeDecoder(device, config, source); // its model_type is Llama's
  const make = FAMILIES[String(config.model_type)];
  if (!make)
    throw new ConfigError(
      `${source}: model_type ${JSON.stringify(config.model_type)} is not known; known are ${Object.keys(FAMILIES).join(", ")}`,
    );
  return make(device, config, source);
}

/**
 * Loads a checkpoint folder, or a repository of the Hugging Face Hub, in its family's published layout.
 * @throws {ConfigError} for a config.json that is not known or wrong
 * @throws {CheckpointError} naming what is missing, damaged or of another shape
 */
export async function loadDecoder(
  folderOrHubId: string,
  { device, ...options }: HubOptions & { device: Device },
): Promise<MoeDecoder> {
  return loadModel(folderOrHubId, {
    ...options,
    make: (config, source) => decoderFromConfig(device, config, source),
    layout: (model) => model.options.layout,
    ignore: (model) => model.options.ignore,
  });
}
