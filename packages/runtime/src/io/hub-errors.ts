import { HubApiError } from "@huggingface/hub";
import { CheckpointError } from "../device/errors.ts";
import { reason } from "./byte-source.ts";

/** Whether another attempt may succeed: fetch reports a lost connection as a TypeError; the server says "busy" or "broken". */
export function isTransient(error: unknown): boolean {
  if (error instanceof HubApiError)
    return error.statusCode >= 500 || error.statusCode === 429 || error.statusCode === 408;
  return error instanceof TypeError;
}

/**
 * Says what went wrong on the Hub and what the user can do.
 * @param what repository, or repository/file
 */
export function hubError(error: unknown, what: string, revision: string): CheckpointError {
  if (error instanceof CheckpointError) return error;
  if (error instanceof HubApiError)
    return new CheckpointError(what, `${remedy(error.statusCode, revision)} (status ${error.statusCode})`);
  if (error instanceof TypeError)
    return new CheckpointError(
      what,
      `the Hugging Face Hub cannot be reached: ${reason(error)}; check the connection, or use a local folder or the cache (MOEBIUS_OFFLINE=1)`,
    );
  return new CheckpointError(what, `cannot be downloaded: ${reason(error)}`);
}

function remedy(status: number, revision: string): string {
  switch (status) {
    case 401:
      return "the Hub asks who you are: the repository is private or gated, or does not exist; give an accessToken or set HF_TOKEN, and check the spelling";
    case 403:
      return "the Hub denies access: accept the model's terms on its page there, or use a token that may read it";
    case 404:
      return `there is no such repository or no revision "${revision}" on the Hub: check the spelling`;
    case 416:
      return "the file is shorter than announced: it may have just changed, run again";
    case 429:
      return "the Hub says that these are too many requests: wait some minutes, or give an accessToken or set HF_TOKEN";
    default:
      return status >= 500 ? "the Hub has a problem of its own: try again later" : "the Hub refuses the request";
  }
}
