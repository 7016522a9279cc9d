import { CheckpointError } from "../device/errors.ts";
import type { Module } from "../nn/module.ts";
import { openCheckpoint } from "./checkpoint-folder.ts";
import { type HubOptions, resolveCheckpoint } from "./hub.ts";
import { loadPublished, type PublishedLayout } from "./published.ts";

export interface LoadModelOptions<M extends Module> extends HubOptions {
  /** @param config what config.json holds, unchecked; @param source its name for messages */
  make: (config: unknown, source: string) => M | Promise<M>;
  layout: (model: M) => PublishedLayout;
  /** Tensors that are derived from the config. */
  ignore?: (model: M) => RegExp | undefined;
}

/**
 * Makes a model as a checkpoint's config.json says, and fills it; a model that cannot be filled is freed.
 * @param folderOrHubId a folder, or a repository of the Hugging Face Hub
 * @throws {CheckpointError} naming what is missing, damaged or of another shape
 */
export async function loadModel<M extends Module>(
  folderOrHubId: string,
  { make, layout, ignore, ...options }: LoadModelOptions<M>,
): Promise<M> {
  const folder = await resolveCheckpoint(folderOrHubId, options);
  const checkpoint = await openCheckpoint(folder);
  try {
    if (checkpoint.config === undefined) throw new CheckpointError(folder, "has no config.json");
    const model = await make(checkpoint.config, `${folder}/config.json`);
    try {
      const derived = ignore?.(model);
      await loadPublished(model, checkpoint, layout(model), derived ? { ignore: derived } : {});
    } catch (error) {
      model[Symbol.dispose]();
      throw error;
    }
    return model;
  } finally {
    await checkpoint.close();
  }
}
