import { makeFolder, pathKind, removePath, renamePath, writeAtomically } from "#host";
import { CheckpointError } from "../device/errors.ts";
import { type WritableTensor, writeSafetensors } from "./safetensors-write.ts";

/** What a checkpoint folder is made of. */
export interface CheckpointContents {
  /** Becomes config.json. */
  readonly config: object;
  readonly tensors: readonly WritableTensor[];
  /** Strings for the header of model.safetensors; `format: "pt"` is what other libraries look for, and the default. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/**
 * Saves a checkpoint in the published layout, config.json and model.safetensors. The folder is written beside its place and
 * then renamed: whatever happens, the old checkpoint or the complete new one is there.
 * @throws {CheckpointError} when a tensor does not fit its shape, or `folder` is a file; what was there before is untouched
 */
export async function saveCheckpoint(
  folder: string,
  { config, tensors, metadata = { format: "pt" } }: CheckpointContents,
): Promise<void> {
  await replaceFolder(folder, async (incoming) => {
    await writeAtomically(`${incoming}/config.json`, [
      new TextEncoder().encode(`${JSON.stringify(config, null, 2)}\n`),
    ]);
    await writeSafetensors(`${incoming}/model.safetensors`, tensors, metadata);
  });
}

const previousOf = (folder: string) => `${folder}.previous`;

/**
 * Replaces a folder, with all that is in it, by what `fill` writes into another one. No system call exchanges two folders, so
 * there is a moment with none under the name: the old one then waits as `<folder>.previous`, and {@link restoreFolder} puts
 * it back.
 * @param fill gets the path of an empty folder beside `folder`; when it throws, `folder` stays as it was
 */
export async function replaceFolder(folder: string, fill: (incoming: string) => Promise<void>): Promise<void> {
  const target = folder.replace(/(?<=.)\/+$/, "");
  const incoming = `${target}.incoming`;
  await restoreFolder(target);
  if ((await pathKind(target)) === "file")
    throw new CheckpointError(target, "is a file: a checkpoint is saved as a folder");
  await removePath(incoming);
  await makeFolder(incoming);
  try {
    await fill(incoming);
  } catch (error) {
    await removePath(incoming);
    throw error;
  }
  await removePath(previousOf(target));
  if (await pathKind(target)) await renamePath(target, previousOf(target));
  await renamePath(incoming, target);
  await removePath(previousOf(target));
}

/** Puts back the folder that an interrupted {@link replaceFolder} had moved aside; does nothing when `folder` is there. */
export async function restoreFolder(folder: string): Promise<void> {
  const target = folder.replace(/(?<=.)\/+$/, "");
  if ((await pathKind(target)) === undefined && (await pathKind(previousOf(target))) === "folder")
    await renamePath(previousOf(target), target);
}
