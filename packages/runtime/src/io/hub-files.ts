/** A file in a repository of the Hub, as its listing tells. */
export interface HubFile {
  readonly path: string;
  readonly size: number;
  /** Hash of the content. */
  readonly oid: string;
}

/** The small files that a model may need beside its weights. */
const COMPANIONS = new Set([
  "config.json",
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "tokenizer.model",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "vocab.txt",
  "merges.txt",
  "spiece.model",
  "sentencepiece.bpe.model",
  "chat_template.jinja",
  "preprocessor_config.json",
  "processor_config.json",
]);

/**
 * Chooses what a checkpoint needs from a repository's listing: companions and one set of weights. Repositories also hold other
 * frameworks' weights, and some the same weights again under another name (consolidated.safetensors), gigabytes each.
 */
export function selectFiles<T extends { readonly path: string }>(listing: readonly T[]): T[] {
  const named = (pattern: RegExp) => listing.filter(({ path }) => pattern.test(path));
  const sets = [
    /^model\.safetensors$/,
    /^model[^/\\]*\.safetensors(\.index\.json)?$/,
    /^[^/\\]*\.safetensors(\.index\.json)?$/,
  ];
  const weights = sets.map(named).find((set) => set.length > 0) ?? [];
  return [...listing.filter(({ path }) => COMPANIONS.has(path)), ...weights];
}

/** One text for the exact content of a set of files, fit for a folder's name. */
export async function fingerprint(files: readonly HubFile[]): Promise<string> {
  const lines = files.map(({ path, size, oid }) => `${path} ${size} ${oid}`).sort();
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(lines.join("\n")));
  return [...new Uint8Array(digest, 0, 10)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
