export { toBfloat16, toFloat16 } from "../tensor/halves.ts";
export { type ByteSource, blobSource, bytesSource, fileSource, urlSource } from "./byte-source.ts";
export { type Checkpoint, openCheckpoint } from "./checkpoint-folder.ts";
export { type CheckpointContents, replaceFolder, restoreFolder, saveCheckpoint } from "./checkpoint-save.ts";
export { downloadCheckpoint, type HubOptions, resolveCheckpoint } from "./hub.ts";
export type { DownloadProgress } from "./hub-transfer.ts";
export { isObject } from "./json.ts";
export { type LoadModelOptions, loadModel } from "./load-model.ts";
export { parseConfigWith } from "./parse-config.ts";
export {
  expertPerTensor,
  loadPublished,
  type PublishedLayout,
  type PublishedPart,
  publishedTensors,
} from "./published.ts";
export { openSafetensors, type Safetensors } from "./safetensors.ts";
export type { TensorEntry } from "./safetensors-header.ts";
export { encodeSafetensors, type WritableTensor, writeSafetensors } from "./safetensors-write.ts";
export type { StoredDType, StoredTensor, TensorData } from "./stored-tensor.ts";
export { toFloat32, toInt32 } from "./widen.ts";
