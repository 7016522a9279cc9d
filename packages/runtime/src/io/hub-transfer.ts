import { downloadFile, fileDownloadInfo, HubApiError } from "@huggingface/hub";
import { fileSize, pathKind, removePath, renamePath, writeAtomically, writeFrom } from "#host";
import { CheckpointError } from "../device/errors.ts";
import { reason } from "./byte-source.ts";
import { isComplete } from "./hub-cache.ts";
import { hubError, isTransient } from "./hub-errors.ts";
import type { HubFile } from "./hub-files.ts";

/** Bytes of one file, as they arrive. */
export interface DownloadProgress {
  readonly stage: "download";
  readonly file: string;
  readonly done: number;
  readonly total: number;
}

/** What every request to the Hub needs. */
export interface HubConnection {
  readonly repoId: string;
  readonly revision: string;
  readonly hubUrl: string | undefined;
  readonly accessToken: string | undefined;
  readonly signal: AbortSignal | undefined;
}

/** Attempts that may fail one after the other without a single new byte. */
const MAX_FRUITLESS_ATTEMPTS = 3;
const RETRY_DELAY_MS = 250;

/**
 * Downloads one file to `target`. Bytes are kept in `<target>.<content>.incomplete` as they arrive, and a broken transfer goes
 * on where it stopped, within a call and in the next one; the final name appears only when the size is right.
 * @throws {CheckpointError} when the Hub refuses, the connection keeps breaking, or the size is wrong
 */
export async function transferFile(
  hub: HubConnection,
  file: HubFile,
  target: string,
  onProgress: (event: DownloadProgress) => void,
): Promise<void> {
  const what = `${hub.repoId}/${file.path}`;
  const report = (done: number) => onProgress({ stage: "download", file: file.path, done, total: file.size });
  // An empty file has no first byte to ask for.
  if (file.size === 0) return writeAtomically(target, []);
  // Named by content: what is left of another version is never continued.
  const incomplete = `${target}.${file.oid.replace(/\W/g, "").slice(0, 16)}.incomplete`;
  let have = await sizeOf(incomplete);
  for (let fruitless = 0; have < file.size; ) {
    report(have);
    const failure = await receive(hub, file, incomplete, have, report).then(
      () => undefined,
      (error: unknown) => error,
    );
    hub.signal?.throwIfAborted();
    if (failure !== undefined && !isTransient(failure)) throw hubError(failure, what, hub.revision);
    const after = await sizeOf(incomplete);
    fruitless = after > have ? 0 : fruitless + 1;
    have = after;
    if (have >= file.size) break;
    if (fruitless === MAX_FRUITLESS_ATTEMPTS) {
      if (failure instanceof HubApiError || (failure !== undefined && have === 0))
        throw hubError(failure, what, hub.revision);
      const trouble =
        failure === undefined ? "the Hub ends the transfer early" : `the connection breaks (${reason(failure)})`;
      throw new CheckpointError(what, `${trouble} at ${have} of ${file.size} bytes; they are kept, run again to go on`);
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_DELAY_MS * fruitless));
  }
  if (have > file.size) {
    await removePath(incomplete);
    throw new CheckpointError(
      what,
      `more came than the ${file.size} bytes that the Hub announced; what came is thrown away, run again`,
    );
  }
  // Another process may have finished the same file meanwhile.
  await renamePath(incomplete, target).catch(async (error: unknown) => {
    if (!(await isComplete(target, file.size))) throw error;
  });
}

async function sizeOf(file: string): Promise<number> {
  return (await pathKind(file)) ? fileSize(file) : 0;
}

/** Receives what comes after the first `done` bytes and appends it. */
async function receive(
  hub: HubConnection,
  file: HubFile,
  incomplete: string,
  done: number,
  report: (done: number) => void,
): Promise<void> {
  let status = 0;
  const watchedFetch: typeof fetch = async (input, init) => {
    const response = await fetch(input, { ...init, signal: hub.signal ?? null });
    status = response.status;
    return response;
  };
  const request = { ...hubRequest(hub), path: file.path, fetch: watchedFetch };
  const info = await fileDownloadInfo(request);
  const blob = info && (await downloadFile({ ...request, downloadInfo: info }));
  if (!info || !blob)
    throw new CheckpointError(
      `${hub.repoId}/${file.path}`,
      "is listed by the Hub but not there: it may have just changed, run again",
    );
  if (info.size !== file.size)
    throw new CheckpointError(
      `${hub.repoId}/${file.path}`,
      `the Hub lists ${file.size} bytes but has ${info.size}: it may have just changed, run again`,
    );
  await writeFrom(incomplete, done, counted(blob.slice(done, file.size).stream(), file.size, done, report)).catch(
    (error: unknown) => {
      // The Hub's Blob passes an error through its stream as the bare message.
      if (typeof error !== "string") throw error;
      throw status >= 400 ? new HubApiError(info.url, status, undefined, error) : new TypeError(error);
    },
  );
}

/** Stops soon after the announced size, however much a server sends. */
async function* counted(
  body: AsyncIterable<Uint8Array>,
  total: number,
  start: number,
  report: (done: number) => void,
): AsyncGenerator<Uint8Array> {
  let done = start;
  for await (const chunk of body) {
    yield chunk;
    done += chunk.byteLength;
    report(Math.min(done, total));
    if (done > total) return;
  }
}

/** The parameters that all calls of @huggingface/hub share. */
export function hubRequest({ repoId, revision, hubUrl, accessToken }: HubConnection) {
  return {
    repo: { type: "model" as const, name: repoId },
    revision,
    ...(hubUrl && { hubUrl }),
    ...(accessToken && { accessToken }),
  };
}
