import { ConfigError } from "../device/errors.ts";

/** Learning rate of a step (0-based) in a run of `totalSteps`. */
export type Schedule = (step: number, totalSteps: number) => number;

export function constant(rate: number, { warmupSteps = 0 }: { warmupSteps?: number } = {}): Schedule {
  return (step) => rate * warmup(step, warmupSteps);
}

/** Rises linearly for `warmupSteps`, then falls along half a cosine to `minimum` at the end of the run (Loshchilov and Hutter 2016, arXiv:1608.03983). */
export function cosine(
  peak: number,
  { warmupSteps = 0, minimum = 0, totalSteps }: { warmupSteps?: number; minimum?: number; totalSteps?: number } = {},
): Schedule {
  if (!(peak > 0 && minimum >= 0 && minimum <= peak))
    throw new ConfigError(`cosine: need 0 ≤ minimum ≤ peak and peak > 0, got peak=${peak}, minimum=${minimum}`);
  return (step, runSteps) => {
    if (step < warmupSteps) return peak * warmup(step, warmupSteps);
    const length = Math.max(1, (totalSteps ?? runSteps) - warmupSteps);
    const done = Math.min(1, (step - warmupSteps) / length);
    return minimum + 0.5 * (peak - minimum) * (1 + Math.cos(Math.PI * done));
  };
}

/** Rises linearly for `warmupSteps`, then falls linearly to `minimum` at the end of the run. */
export function linearDecay(
  peak: number,
  { warmupSteps = 0, minimum = 0 }: { warmupSteps?: number; minimum?: number } = {},
): Schedule {
  return (step, totalSteps) =>
    step < warmupSteps
      ? peak * warmup(step, warmupSteps)
      : minimum + (peak - minimum) * Math.max(0, 1 - (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps));
}

/** peak · sqrt(warmupSteps / step) after the warm-up (Vaswani et al. 2017, arXiv:1706.03762, equation 3). */
export function inverseSquareRoot(peak: number, { warmupSteps }: { warmupSteps: number }): Schedule {
  return (step) => (step < warmupSteps ? peak * warmup(step, warmupSteps) : peak * Math.sqrt(warmupSteps / (step + 1)));
}

/** Rises linearly for `warmupSteps`; then the rate is multiplied by `factor` after every `every` steps of the run. */
export function stepDecay(
  peak: number,
  { every, factor = 0.1, warmupSteps = 0 }: { every: number; factor?: number; warmupSteps?: number },
): Schedule {
  if (!(every >= 1 && factor > 0 && factor <= 1))
    throw new ConfigError(`stepDecay: need every ≥ 1 and 0 < factor ≤ 1, got every=${every}, factor=${factor}`);
  return (step) => peak * warmup(step, warmupSteps) * factor ** Math.floor(step / every);
}

/** A number is the same rate at every step. */
export function scheduleOf(rate: number | Schedule): Schedule {
  return typeof rate === "number" ? constant(rate) : rate;
}

/** The first step already moves: (step + 1) / warmupSteps. */
function warmup(step: number, warmupSteps: number): number {
  return warmupSteps === 0 ? 1 : Math.min(1, (step + 1) / warmupSteps);
}
