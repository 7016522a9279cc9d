import { listFiles } from "@huggingface/hub";
import { cacheFolder as defaultCacheFolder, environment, makeFolder, pathKind } from "#host";
import { CheckpointError } from "../device/errors.ts";
import { type CachedRepo, cachedRepo, findCached, isComplete, isOffline, writeRef } from "./hub-cache.ts";
import { hubError } from "./hub-errors.ts";
import { fingerprint, type HubFile, selectFiles } from "./hub-files.ts";
import { type DownloadProgress, type HubConnection, hubRequest, transferFile } from "./hub-transfer.ts";

export interface HubOptions {
  /** Branch, tag or commit; default "main". */
  readonly revision?: string;
  /** Default $XDG_CACHE_HOME/moebius or ~/.cache/moebius; in a browser the page's own file system. */
  readonly cacheFolder?: string;
  /** Answer from the cache without a single request; default true when MOEBIUS_OFFLINE=1 or HF_HUB_OFFLINE=1. */
  readonly offline?: boolean;
  /** A token of the Hub, "hf_..."; default the environment's HF_TOKEN. */
  readonly accessToken?: string;
  /** Another server with the Hub's interface; default the environment's HF_ENDPOINT, else https://huggingface.co. */
  readonly hubUrl?: string;
  readonly signal?: AbortSignal;
  /** Called as bytes arrive, for one file after the other. */
  readonly onProgress?: (event: DownloadProgress) => void;
}

const REPO_ID = /^[\w-][\w.-]*\/[\w-][\w.-]*$/;

/**
 * Downloads a checkpoint (config, weights in safetensors, tokenizer files) from the Hugging Face Hub into the cache; files that
 * are there already are not asked for again, partial ones are continued.
 * @param repoId "owner/name"
 * @returns the folder that holds the files; it never changes afterwards
 * @throws {CheckpointError} with the remedy: not found, no access, no connection, wrong size, offline and not in the cache
 * @throws the signal's reason when aborted; what arrived is kept for the next call
 */
export async function downloadCheckpoint(repoId: string, options: HubOptions = {}): Promise<string> {
  const {
    revision = "main",
    cacheFolder = defaultCacheFolder(),
    offline = isOffline(),
    signal,
    onProgress = () => {},
  } = options;
  if (!REPO_ID.test(repoId))
    throw new CheckpointError(repoId, 'is no id of the Hugging Face Hub: "owner/name" is expected');
  const repo = cachedRepo(cacheFolder, repoId, revision);
  if (offline) return cachedOnly(repo, repoId, revision);
  const accessToken = options.accessToken ?? environment("HF_TOKEN");
  if (accessToken && !accessToken.startsWith("hf_"))
    throw new CheckpointError(repoId, 'the access token (accessToken or HF_TOKEN) must start with "hf_"');
  const hubUrl = (options.hubUrl ?? environment("HF_ENDPOINT"))?.replace(/\/+$/, "");
  const hub: HubConnection = { repoId, revision, hubUrl, accessToken, signal };

  signal?.throwIfAborted();
  const files = await listCheckpoint(hub);
  const snapshot = await fingerprint(files);
  const folder = repo.snapshot(snapshot);
  await makeFolder(folder);
  for (const file of files.sort((a, b) => a.size - b.size)) {
    const target = `${folder}/${file.path}`;
    if (!(await isComplete(target, file.size))) await transferFile(hub, file, target, onProgress);
  }
  await writeRef(repo, snapshot, files);
  return folder;
}

/**
 * Finds the folder of a checkpoint: an existing folder as it is, "owner/name" through {@link downloadCheckpoint}.
 * @throws {CheckpointError} when it is neither, saying both
 */
export async function resolveCheckpoint(folderOrHubId: string, options: HubOptions = {}): Promise<string> {
  const kind = await pathKind(folderOrHubId);
  // A save that was interrupted leaves the folder under this name; opening it puts it back.
  if (kind === "folder" || (await pathKind(`${folderOrHubId}.previous`)) === "folder") return folderOrHubId;
  if (kind === "file")
    throw new CheckpointError(folderOrHubId, "is a file: give the folder that holds config.json and the weights");
  if (!REPO_ID.test(folderOrHubId))
    throw new CheckpointError(
      folderOrHubId,
      'there is no such folder, and it is no id of the Hugging Face Hub ("owner/name")',
    );
  try {
    return await downloadCheckpoint(folderOrHubId, options);
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    throw new CheckpointError(
      folderOrHubId,
      `there is no such folder; as an id of the Hugging Face Hub: ${error.message}`,
    );
  }
}

async function listCheckpoint(hub: HubConnection): Promise<HubFile[]> {
  const { repoId, revision, signal } = hub;
  const listing: HubFile[] = [];
  try {
    const watchedFetch: typeof fetch = (input, init) => fetch(input, { ...init, signal: signal ?? null });
    // listFiles puts the revision into its URL as it is.
    const request = { ...hubRequest(hub), revision: encodeURIComponent(revision), fetch: watchedFetch };
    for await (const { type, path, size, oid, lfs } of listFiles(request))
      if (type === "file") listing.push({ path, size: lfs?.size ?? size, oid: lfs?.oid ?? oid ?? "" });
  } catch (error) {
    signal?.throwIfAborted();
    throw hubError(error, repoId, revision);
  }
  const files = selectFiles(listing);
  if (!files.some(({ path }) => path.endsWith(".safetensors"))) {
    const found = listing.slice(0, 8).map(({ path }) => path);
    throw new CheckpointError(repoId, `has no weights in safetensors format; found: ${found.join(", ") || "nothing"}`);
  }
  return files;
}

async function cachedOnly(repo: CachedRepo, repoId: string, revision: string): Promise<string> {
  const folder = await findCached(repo);
  if (folder) return folder;
  throw new CheckpointError(
    repoId,
    `offline mode, and revision "${revision}" is not in the cache (${repo.folder}): run once without offline, MOEBIUS_OFFLINE and ` +
      "HF_HUB_OFFLINE, or give a folder with config.json and the weights",
  );
}
