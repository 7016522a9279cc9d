import { concat, ones, reshape, slice } from "@moebius/runtime/ops";
import { scope, type Tensor } from "@moebius/runtime/tensor";
import { expectCount } from "./expect-count.ts";
import type { TimeMoeModel } from "./model.ts";

type F32 = Tensor<"f32">;

export interface GenerateOptions {
  /** Number of points to predict (N). */
  horizon: number;
  /** [B, T] 0 = padding on the left. */
  mask?: F32 | undefined;
  /** Keep keys and values of earlier positions (default), or run the whole sequence again at each step: same result, slower. */
  useCache?: boolean;
}

/**
 * Which heads a forecast of `horizon` points uses, as indices: at each step the largest that fits what remains, scanning upwards
 * and stopping at the first that does not; the smallest one, cut off, when none fits.
 * @param horizons ascending
 * @throws {ValueError} unless `horizon` is a positive integer
 */
export function planHeads(horizons: readonly number[], horizon: number): number[] {
  expectCount("horizon", horizon);
  const steps: number[] = [];
  for (let remaining = horizon; remaining > 0; ) {
    const tooLong = horizons.findIndex((length) => length > remaining);
    const head = Math.max(0, (tooLong < 0 ? horizons.length : tooLong) - 1);
    steps.push(head);
    remaining -= horizons[head] ?? remaining;
  }
  return steps;
}

/**
 * Continues normalised series: predicts with the head that fits, appends its values, runs only those through the model, and so on.
 * Nothing is read back in between.
 * @param values [B, T]
 * @returns [B, horizon]
 */
export function generate(model: TimeMoeModel, values: F32, { horizon, mask, useCache = true }: GenerateOptions): F32 {
  return scope(() => {
    const [B, T] = [values.axis(0), values.axis(1)];
    const steps = planHeads(model.horizons, horizon);
    using cache = useCache ? model.newCache(B, T + horizon) : undefined;
    const attentionMask = mask && concat([mask, ones(model.device, [B, horizon], "f32")], 1);
    const predicted: F32[] = [];
    let input = values;
    for (const head of steps) {
      const { last } = model.forward(input, { attentionMask, cache });
      const end = slice(last, 1, input.axis(1) - 1, 1); // [B, 1, D]
      const next = reshape(model.predict(end, head), [B, model.horizons[head] ?? 1]);
      predicted.push(next);
      input = cache ? next : concat([input, next], 1);
    }
    return slice(concat(predicted, 1), 1, 0, horizon);
  });
}
