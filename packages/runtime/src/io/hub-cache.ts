import { environment, fileSize, makeFolder, pathKind, readText, writeAtomically } from "#host";
import { CheckpointError } from "../device/errors.ts";
import { isObject, parseJson } from "./json.ts";

/**
 * A repository in the cache: `snapshots/<fingerprint>/` holds files and never changes once complete; `refs/<revision>.json`
 * says which snapshot a revision was last seen to be, and is written last.
 */
export interface CachedRepo {
  readonly folder: string;
  readonly ref: string;
  snapshot(fingerprint: string): string;
}

export function cachedRepo(cacheFolder: string, repoId: string, revision: string): CachedRepo {
  const folder = `${cacheFolder}/hub/${repoId.replace("/", "--")}`;
  return {
    folder,
    ref: `${folder}/refs/${encodeURIComponent(revision)}.json`,
    snapshot: (fingerprint) => `${folder}/snapshots/${fingerprint}`,
  };
}

export async function writeRef(
  repo: CachedRepo,
  fingerprint: string,
  files: readonly { path: string; size: number }[],
): Promise<void> {
  const content = { snapshot: fingerprint, files: files.map(({ path, size }) => ({ path, size })) };
  await makeFolder(`${repo.folder}/refs`);
  await writeAtomically(repo.ref, [new TextEncoder().encode(JSON.stringify(content))]);
}

/**
 * @returns the folder of the revision's snapshot, undefined when the revision was never downloaded completely
 * @throws {CheckpointError} when files of it have been lost or cut short since
 */
export async function findCached(repo: CachedRepo): Promise<string | undefined> {
  if ((await pathKind(repo.ref)) !== "file") return undefined;
  const content = parseJson(repo.ref, new TextEncoder().encode(await readText(repo.ref)));
  if (!isObject(content) || typeof content.snapshot !== "string" || !Array.isArray(content.files))
    throw new CheckpointError(repo.ref, "is damaged: remove it and download again");
  const folder = repo.snapshot(content.snapshot);
  for (const { path, size } of content.files as { path: string; size: number }[])
    if (!(await isComplete(`${folder}/${path}`, size)))
      throw new CheckpointError(
        `${folder}/${path}`,
        `is not there with its ${size} bytes any more: download again without offline mode`,
      );
  return folder;
}

export async function isComplete(file: string, size: number): Promise<boolean> {
  return (await pathKind(file)) === "file" && (await fileSize(file)) === size;
}

/** Offline mode by the environment: ours, or the one that other Hugging Face tools obey. */
export function isOffline(): boolean {
  return ["MOEBIUS_OFFLINE", "HF_HUB_OFFLINE"].some((name) => /^(1|on|yes|true)$/i.test(environment(name) ?? ""));
}
