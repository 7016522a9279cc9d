import { ValueError } from "@moebius/runtime/device";
import { argmax, slice } from "@moebius/runtime/ops";
import { scope, tensor } from "@moebius/runtime/tensor";
import type { MoeDecoder } from "./decoder.ts";

export interface GenerateOptions {
  /** Tokens to add to each prompt. */
  maxTokens: number;
  signal?: AbortSignal;
}

/**
 * Continues prompts of one length with the likeliest token again and again, keeping keys and values.
 * @param prompts ids below the vocabulary's size
 * @returns the new ids a step, one a prompt; the iteration may be left early
 * @throws {ValueError} for an id out of range, prompts of unlike lengths or none, or more positions than the model has
 */
export async function* generateGreedy(
  model: MoeDecoder,
  prompts: readonly (readonly number[])[],
  { maxTokens, signal }: GenerateOptions,
): AsyncGenerator<number[]> {
  const [B, T] = [prompts.length, prompts[0]?.length ?? 0];
  const { vocabSize, rotary } = model.options;
  expectPrompts(prompts, vocabSize);
  if (T + maxTokens > rotary.maxPositions)
    throw new ValueError(
      `generate: ${T} tokens and ${maxTokens} more pass the model's ${rotary.maxPositions} positions (max_position_embeddings)`,
    );
  using cache = model.newCache(B, T + maxTokens);
  let ids = Uint32Array.from(prompts.flat());
  for (let step = 0; step < maxTokens; step++) {
    signal?.throwIfAborted();
    const length = ids.length / B;
    const { best } = scope(() => {
      const { logits } = model.forward(tensor(model.device, ids, [B, length]), { cache });
      return { best: argmax(slice(logits, 1, length - 1, 1)).read() };
    });
    ids = await best;
    yield [...ids];
  }
}

function expectPrompts(prompts: readonly (readonly number[])[], vocabSize: number): void {
  const length = prompts[0]?.length ?? 0;
  for (const [row, prompt] of prompts.entries()) {
    if (prompt.length !== length || length === 0)
      throw new ValueError(`generate: prompt ${row} has ${prompt.length} tokens, expected ${length || "at least 1"}`);
    const bad = prompt.findIndex((id) => !(Number.isInteger(id) && id >= 0 && id < vocabSize));
    if (bad >= 0)
      throw new ValueError(
        `generate: prompt ${row} has the id ${prompt[bad]} at position ${bad}, expected 0 to ${vocabSize - 1}`,
      );
  }
  if (length === 0) throw new ValueError("generate: there is no prompt");
}
